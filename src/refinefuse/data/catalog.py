"""Catalog of public datasets. Missing information is marked as unknown.

Images are neither shipped nor downloaded: an entry gives the source of the dataset, and `verify` checks a local copy.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from refinefuse.errors import ConfigError

UNKNOWN = "not established"
_NOT_STATED = "none stated by the publisher; customarily used for research"


@dataclass(frozen=True)
class Folders:
    """Two folders of a dataset, relative to its root. `*` matches several folders.

    Attributes:
        a: folder of the first sources.
        b: folder of the second sources.
        split: the split that they contain; empty if lists of names define it.
    """

    a: str
    b: str
    split: str = ""


@dataclass(frozen=True)
class DatasetInfo:
    """One catalog entry.

    Attributes:
        name: name in commands and recipes.
        a: kind of the first source, whose color is not used.
        b: kind of the second source.
        roots: possible names of the dataset's folder, below the data root.
        folders: known layouts, that of the authors first. All existing ones are used.
        license: the terms of use, as far as they are stated.
        citation: what to cite.
        source: where to get it.
        pairs: number of pairs per split according to the authors.
        size: height and width of all images; None if they differ or are unknown.
        classes: by the format of its labels (yolo, voc, coco, mask), class name there -> class name in COCO; an empty
            name drops the class, a trailing star marks groups of objects (crowd).
        scene: a regular expression for the common part of the names of one scene (a patient, a video); empty if names
            do not identify it.
        notes: what a user should know.
    """

    name: str
    a: str
    b: str
    roots: tuple[str, ...]
    folders: tuple[Folders, ...]
    license: str
    citation: str
    source: str
    pairs: dict[str, int] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    classes: dict[str, dict[str, str]] = field(default_factory=dict)
    scene: str = ""
    notes: str = ""

    @property
    def lists(self) -> dict[str, list[str]]:
        """Names of pairs, or patterns of them, by split. `train` and `val` are this project's."""
        return {split: names.split() for split, names in _lists().get(self.name, {}).items()}

    @property
    def splits(self) -> list[str]:
        """The splits of the dataset, from its lists and folders."""
        return list(dict.fromkeys([*self.lists, *(folders.split for folders in self.folders if folders.split)]))


@lru_cache(maxsize=1)
def _lists() -> dict[str, dict[str, str]]:
    lists: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("splits.json").read_text(encoding="utf-8"))
    return lists


_HARVARD = {
    "license": f"{_NOT_STATED} (slices of the Whole Brain Atlas, (c) Johnson and Becker)",
    "citation": "K. A. Johnson, J. A. Becker, The Whole Brain Atlas, med.harvard.edu/AANLIB",
    "size": (256, 256),
}
_SLICES = (
    "The published train and test folders contain slices of the same patients. The lists keep each patient in one "
    "split, and leave out patients who appear in CDDFuse's test sets."
)


def _harvard(kind: str, a: str, b: str, folder: str, tested: str, count: int) -> tuple[DatasetInfo, DatasetInfo]:
    layouts = [Folders(a, b), *(Folders(f"{part}/{a}", f"{part}/{b}") for part in ("train", "test"))]
    source = "github.com/xianming-gu/Havard-Medical-Image-Fusion-Datasets"
    whole = DatasetInfo(
        f"harvard-{kind}",
        a,
        b,
        (f"harvard/{folder}", folder),
        tuple(layouts),
        source=source,
        scene=r"^(\d+)\d{3}$",
        notes=_SLICES,
        **_HARVARD,  # type: ignore[arg-type]
    )
    test = DatasetInfo(
        f"cddfuse-{kind}",
        a,
        b,
        (f"harvard_cddfuse/{tested}", tested),
        (Folders(a, b, "test"),),
        source="github.com/Zhaozixiang1228/MMIF-CDDFuse",
        pairs={"test": count},
        notes="The test set of CDDFuse and of the papers that compare with it.",
        **_HARVARD,  # type: ignore[arg-type]
    )
    return whole, test


def _by_split(a: str = "ir", b: str = "vi", splits: tuple[str, ...] = ("train", "test")) -> tuple[Folders, ...]:
    return tuple(Folders(f"{split}/{a}", f"{split}/{b}", split) for split in splits)


_ROWS = (
    DatasetInfo(
        "MSRS",
        "infrared",
        "visible",
        ("MSRS",),
        _by_split(),
        license=f"{_NOT_STATED} (derived from MFNet of the University of Tokyo)",
        citation="Tang, Yuan, Zhang, Jiang, Ma, PIAFusion, Information Fusion, 2022",
        source="github.com/Linfeng-Tang/MSRS",
        pairs={"train": 1083, "test": 361},
        size=(480, 640),
        classes={
            "mask": dict(zip("012345678", ("", "car", "person", "bicycle", "", "", "", "", ""), strict=True)),
            "yolo": {"0": "person", "2": "car"},
        },
        notes="Names end in D by day and N by night. The list of the test split names 321 of its 361 pairs. "
        "Masks (Segmentation_labels) for all pairs, of MFNet's classes: car, person, bike, curve, car stop, guardrail, "
        "cone, bump; boxes (detection/labels) for 80, named by number without D and N. The lists train and val "
        "(60 pairs "
        "of 12 scenes) name 1051 of the 1083 train pairs; the other 32 show a test scene from the same position.",
    ),
    DatasetInfo(
        "RoadScene",
        "infrared",
        "visible",
        ("RoadScene",),
        (Folders("cropinfrared", "crop_LR_visible"), *(Folders(f"{s}/ir", f"{s}/vi") for s in ("train", "test"))),
        license=f"{_NOT_STATED} (cut from the FLIR ADAS videos, whose terms apply)",
        citation="Xu, Ma, Le, Jiang, Guo, FusionDN, AAAI 2020",
        source="github.com/hanna-xu/RoadScene",
        notes="221 pairs, no official split: `test` is the 50 of CDDFuse; other published subsets have lists too. "
        "FLIR_05027 and FLIR_07620 are misaligned and in neither train nor val.",
    ),
    DatasetInfo(
        "TNO",
        "infrared",
        "visible",
        ("TNO",),
        tuple(Folders(f"{s}/ir", f"{s}/vi") for s in ("train", "test")),
        license="free for research with credit to TNO Soesterberg; said to be CC BY 4.0",
        citation="Toet, TNO Image Fusion Dataset, figshare, doi 10.6084/m9.figshare.1008029",
        source="doi.org/10.6084/m9.figshare.1008029",
        notes="No official split: `test` is the 25 of CDDFuse, under its names. Its archive has other folders. "
        "Not in any list: Triclobs_square_with_houses, which shows the scene of the test pair TNO_16; "
        "DHV_wall, misaligned; "
        "Triclobs_Marne_24, whose visible image is only noise.",
    ),
    DatasetInfo(
        "LLVIP",
        "infrared",
        "visible",
        ("LLVIP",),
        (*(Folders(f"infrared/{s}", f"visible/{s}", s) for s in ("train", "test")), *_by_split()),
        license="LLVIP terms of use: non-commercial use only, with reference",
        citation="Jia, Zhu, Li, Tang, Zhou, LLVIP, ICCV 2021, arXiv 2108.10831",
        source="bupt-ai-cz.github.io/LLVIP",
        pairs={"train": 12025, "test": 3463},
        size=(1024, 1280),
        classes={"voc": {"person": "person"}, "yolo": {"0": "person"}},
        scene=r"^(\d\d)",
        notes="The first two digits of a name identify the camera's location. 020312 is misaligned and in no list.",
    ),
    DatasetInfo(
        "M3FD",
        "infrared",
        "visible",
        ("M3FD",),
        (
            Folders("M3FD_Fusion/Ir", "M3FD_Fusion/Vis", "test"),
            Folders("M3FD_Detection/Ir", "M3FD_Detection/Vis", "detection"),
            Folders("train/ir", "train/vi"),
        ),
        license=UNKNOWN,
        citation="Liu, Fan, Huang, Wu, Liu, Zhong, Luo, TarDAL, CVPR 2022",
        source="github.com/JinyuanLiu-CV/TarDAL",
        pairs={"test": 300, "detection": 4200},
        classes={
            "voc": {
                "People": "person",
                "Car": "car",
                "Bus": "bus",
                "Motorcycle": "motorcycle",
                "Lamp": "",
                "Truck": "truck",
            },
        },
        notes="Mostly 1024 x 768. The 4200 pairs of the detection part have no official split, and many show "
        "the same scene: "
        "split them by scene with `refinefuse data split`. The lists train and val name 32 pairs in public "
        "repositories (ImaanIbrar/IVIF-DIDFuse, Beate-Suy-Zhang/DCEvo, LiuZhu-CV/BDLFusion), none of them among the "
        "first 300 numbers; x07 to x30 are renumbered.",
    ),
    DatasetInfo(
        "FMB",
        "infrared",
        "visible",
        ("FMB",),
        (*_by_split("Infrared", "Visible"), Folders("train/ir", "train/vi")),
        license=UNKNOWN,
        citation="Liu, Liu, Wu, Ma, Liu, Zhong, Luo, Fan, SegMiF, ICCV 2023, arXiv 2308.02097",
        source="github.com/JinyuanLiu-CV/SegMiF",
        notes=f"Number of pairs and sizes: {UNKNOWN}. The list val names 5 pairs in github.com/Beate-Suy-Zhang/DCEvo, "
        "on which none of these weights are trained.",
    ),
    DatasetInfo(
        "M3SVD",
        "infrared",
        "visible",
        ("M3SVD",),
        tuple(Folders(f"{s}/ir", f"{s}/vi") for s in ("train", "test")),
        license="MIT",
        citation="Tang et al., VideoFusion, CVPR 2026, arXiv 2503.23359",
        source="github.com/Linfeng-Tang/M3SVD",
        size=(480, 640),
        scene=r"^(\d{4}_\d{4})",
        notes="220 pairs of videos; only the test split is public. The lists here split its frames: "
        "they are unrelated to the authors' test split.",
    ),
    DatasetInfo(
        "VIFB",
        "infrared",
        "visible",
        ("VIFB",),
        (Folders("input/IR", "input/VI", "test"), *_by_split(splits=("test",))),
        license=f"{_NOT_STATED} (collected from INO and from fusion-tracking datasets)",
        citation="Zhang, Ye, Xiao, VIFB, CVPR Workshops 2020, arXiv 2002.03322",
        source="github.com/xingchenzhang/VIFB",
        pairs={"test": 21},
    ),
    DatasetInfo(
        "KAIST",
        "infrared",
        "visible",
        ("KAIST", "KAIST/images", "kaist-cvpr15/images"),
        (
            Folders("set0[0-5]/*/lwir", "set0[0-5]/*/visible", "train"),
            Folders("set0[6-9]/*/lwir", "set0[6-9]/*/visible", "test"),
            Folders("set1[01]/*/lwir", "set1[01]/*/visible", "test"),
        ),
        license="CC BY-NC-SA 4.0",
        citation="Hwang, Park, Kim, Choi, Kweon, Multispectral pedestrian detection, CVPR 2015",
        source="github.com/SoonminHwang/rgbt-ped-detection",
        classes={"voc": {"person": "person", "people": "person*", "person?": "person*", "cyclist": "person*"}},
        scene=r"^(set\d\d/\w+)/",
        pairs={"train": 50187, "test": 45141},
        notes="Names give set, video and frame: set00/V000/I00000. Aligned by a beam splitter, but not exactly "
        "everywhere.",
    ),
    *_harvard("ct", "CT", "MRI", "CT-MRI", "MRI_CT", 21),
    *_harvard("pet", "MRI", "PET", "PET-MRI", "MRI_PET", 42),
    *_harvard("spect", "MRI", "SPECT", "SPECT-MRI", "MRI_SPECT", 73),
    DatasetInfo(
        "Lytro",
        "near focus",
        "far focus",
        ("Lytro",),
        (Folders("near", "far", "test"), *_by_split("near", "far", ("test",))),
        license=_NOT_STATED,
        citation="Nejati, Samavi, Shirani, Multi-focus image fusion, Information Fusion, 2015",
        source="github.com/yuliu316316/MFIF",
        pairs={"test": 20},
        size=(520, 520),
    ),
    DatasetInfo(
        "MEFB",
        "under-exposed",
        "over-exposed",
        ("MEFB",),
        _by_split("under", "over", ("test",)),
        license=UNKNOWN,
        citation="Zhang, Benchmarking multi-exposure image fusion algorithms, Information Fusion, 2021",
        source="github.com/xingchenzhang/MEFB",
        pairs={"test": 100},
        notes="Published with one folder per pair (input/NAME): copy the images into test/under and test/over first.",
    ),
    DatasetInfo(
        "NIR",
        "near infrared",
        "visible",
        ("NIR", "NIR_Country"),
        _by_split("nir", "vi", ("test",)),
        license=_NOT_STATED,
        citation="Brown, Suesstrunk, Multi-spectral SIFT for scene category recognition, CVPR 2011",
        source="EPFL RGB-NIR Scene Dataset, class country; 26 pairs of it in github.com/Zhaozixiang1228/IVIF-DIDFuse",
    ),
    DatasetInfo(
        "NIR_RS",
        "near infrared",
        "visible",
        ("NIR_RS",),
        (Folders("train/ir", "train/vi"),),
        license=_NOT_STATED,
        citation="JasonLi-UCAS, NIR-VIS-RS, GitHub",
        source="github.com/JasonLi-UCAS/NIR-VIS-RS",
        notes="80 aerial and satellite pairs, not thermal. None of these weights are trained on them.",
    ),
    DatasetInfo(
        "IVmisc",
        "infrared",
        "visible",
        ("IVmisc",),
        (Folders("train/ir", "train/vi"),),
        license=_NOT_STATED,
        citation="pairs from various sources, distributed with Zhang et al., IFCNN, Information Fusion, 2020",
        source="github.com/uzeful/IFCNN",
        notes="IFCNN_Camp1 shows the scene of TNO's test pair TNO_19, so it is in no list.",
    ),
)
CATALOG = {row.name: row for row in _ROWS}


def find_dataset(name: str) -> DatasetInfo:
    """Find an entry by name, case-insensitively.

    Raises:
        ConfigError: if there is none.
    """
    by_lower = {key.lower(): row for key, row in CATALOG.items()}
    if name.lower() not in by_lower:
        raise ConfigError(f"The catalog has no dataset '{name}'.\n  expected: {', '.join(CATALOG)}")
    return by_lower[name.lower()]
