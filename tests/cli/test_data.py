"""`refinefuse data list`, `verify` and `split`, as a user calls them."""

from refinefuse.data.catalog import CATALOG


def test_list_names_every_data_set_with_its_terms(run):
    code, out, _ = run("data", "list")
    assert code == 0
    for row in CATALOG.values():
        assert f"{row.name}: a {row.a}" in out
        assert row.license in out
    assert run("data", "list", "--name", "tno")[1].count("license") == 1


def test_an_unknown_word_after_data(run):
    code, _, err = run("data", "lits")
    assert code == 2
    assert "'data lits'" in err
    assert "data list" in err


def test_verify_says_what_is_wrong_and_exits_with_1(run, pairs):
    code, out, _ = run("data", "verify", pairs / "ir", "--b", pairs / "vi")
    assert (code, out) == (0, "3 pairs\n\nNothing is wrong.\n")
    (pairs / "vi" / "2.bmp").write_bytes(b"BM")
    code, out, _ = run("data", "verify", pairs / "ir", "--b", pairs / "vi")
    assert code == 1
    assert "unreadable" in out
    assert "2.bmp" in out


def test_verify_of_a_folder_without_data_sets(run, pairs):
    code, _, err = run("data", "verify", pairs)
    assert code == 2
    assert "the second one as --b" in err


def test_split_writes_lists_that_training_takes(run, pairs):
    code, out, _ = run(
        "data",
        "split",
        pairs / "ir",
        "--b",
        pairs / "vi",
        "-o",
        pairs / "lists",
        "--val-fraction",
        "0.34",
        "--test-fraction",
        "0",
    )
    assert code == 0
    assert "3 pairs of 3 scenes: train 2, val 1" in out
    names = [(pairs / "lists" / f"{part}.txt").read_text().split() for part in ("train", "val")]
    assert sorted([*names[0], *names[1]]) == ["1", "10", "2"]
    assert run("data", "split", pairs / "ir", "--b", pairs / "vi", "-o", pairs / "lists")[0] == 2


def test_split_wants_to_know_what(run, pairs):
    code, _, err = run("data", "split", pairs, "-o", pairs / "lists")
    assert code == 2
    assert "--name NAME" in err


def test_split_by_the_names_of_scenes(run, pairs):
    options = ["--scene-regex", r"^(\d)", "--val-fraction", "0.5", "--test-fraction", "0"]
    code, out, _ = run("data", "split", pairs / "ir", "--b", pairs / "vi", "-o", pairs / "lists", *options)
    assert code == 0
    assert "3 pairs of 2 scenes" in out
    lists = [(pairs / "lists" / f"{part}.txt").read_text().split() for part in ("train", "val")]
    assert ["1", "10"] in lists
