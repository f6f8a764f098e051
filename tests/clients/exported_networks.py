"""Exported networks in their runtimes, tables in LaTeX, reports in a browser."""

from __future__ import annotations

from outputs import Outputs
from programs import Client, run

from refinefuse.export import GraphForm
from refinefuse.inference.runtimes import RUNTIMES, example_pairs, package_fused

_FORMS = {
    "any.onnx": GraphForm(),
    "fixed.onnx": GraphForm(size=(240, 320)),
    "color.onnx": GraphForm(color=True, size=(240, 320)),
    "half.onnx": GraphForm(precision="float16"),
}


def _in_runtime(name: str):
    def check(outputs: Outputs) -> str:
        said = []
        for file, form in _FORMS.items():
            if name == "OpenCV DNN" and form.size is None:
                continue
            run_file, computes_in = RUNTIMES[name][1](outputs.networks[file].read_bytes(), form)
            found = [
                255 * (run_file(*pair) - package_fused(outputs.fuser.model, *pair)).abs()
                for pair in example_pairs(form)
            ]
            largest, mean = max(float(x.max()) for x in found), max(float(x.mean()) for x in found)
            assert mean <= 1.5, f"{file}: {mean:.2f} levels on average"
            assert largest <= 1 or computes_in != "float32" or form.precision != "float32", (
                f"{file}: {largest:.2f} levels"
            )
            said.append(f"{file[:-5]} {largest:.2g} / {mean:.2g}")
        return f"levels from the API, largest / mean: {', '.join(said)}"

    return check


def _onnx(outputs: Outputs) -> str:
    import onnx

    for name, path in outputs.networks.items():
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        dimensions = {
            dimension.dim_param for output in model.graph.output for dimension in output.type.tensor_type.shape.dim
        }
        assert dimensions <= {"", "batch", "height", "width"}, f"{name}: {dimensions}"
    return "full check; dimensions named batch, height, width"


def _latex(outputs: Outputs) -> str:
    text = (
        outputs.tables.replace("\\toprule", "\\hline")
        .replace("\\midrule", "\\hline")
        .replace("\\bottomrule", "\\hline")
    )
    document = outputs.folder / "table.tex"
    document.write_text(f"\\documentclass{{article}}\\begin{{document}}{text}\\end{{document}}")
    run("pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"-output-directory={outputs.folder}", document)
    return "compiles with %, &, _, < and > in names"


def _report(outputs: Outputs) -> str:
    report = outputs.report
    options = "--headless --no-sandbox --disable-gpu --virtual-time-budget=20000 --enable-logging=stderr --dump-dom"
    said = run("chromium", *options.split(), report.as_uri())
    assert "CONSOLE" not in said, said[said.index("CONSOLE") :][:200]
    assert "B_50% &amp; &lt;i&gt;x&lt;/i&gt;" in said, "the name of a method is not shown as it is"
    text = report.read_text()
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text
    return "no error on the console, no network address, names as they are"


CLIENTS = (
    Client("ONNX", "exported networks", _onnx, "onnx"),
    Client("onnxruntime", "exported networks", _in_runtime("onnxruntime"), "onnxruntime"),
    Client("OpenVINO, defaults", "exported networks", _in_runtime("OpenVINO"), "openvino"),
    Client("OpenCV DNN", "networks of one size", _in_runtime("OpenCV DNN"), "opencv-python-headless"),
    Client("pdfTeX", "tables of scores", _latex, "texlive-latex-base", ("pdflatex", "--version")),
    Client("Chromium", "report of a benchmark", _report, "chromium", ("chromium", "--version")),
)
