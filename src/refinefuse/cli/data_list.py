"""`refinefuse data list`."""

from __future__ import annotations


def run(*, name: str | None = None) -> int:
    """List the public datasets: what they show, where to get them, and under which terms.

    Args:
        name: Show only this dataset.
    """
    from refinefuse.data.catalog import CATALOG, DatasetInfo, find_dataset

    def said(row: DatasetInfo) -> str:
        counts = [f"{split} {count}" for split, count in row.pairs.items()]
        lists = [f"{split} ({len(names)})" if "*" not in "".join(names) and "?" not in "".join(names) else split
                 for split, names in row.lists.items()]  # fmt: skip
        folders = [f"{folders.a} | {folders.b}" for folders in row.folders]
        lines = [
            f"{row.name}: a {row.a}, b {row.b}",
            f"  get it   {row.source}",
            f"  license  {row.license}",
            f"  cite     {row.citation}",
            f"  folder   {row.roots[0]}, with {'; '.join(folders)}",
            f"  pairs    {', '.join(counts)}" if counts else "",
            f"  size     {row.size[0]} x {row.size[1]}" if row.size else "",
            f"  lists    {', '.join(lists)}" if lists else "",
            f"  note     {row.notes}" if row.notes else "",
        ]
        return "\n".join(line for line in lines if line)

    print("\n\n".join(said(row) for row in ([find_dataset(name)] if name else CATALOG.values())))
    return 0
