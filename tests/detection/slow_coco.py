"""COCO's average precision, written down literally and slowly."""

import numpy as np


def overlap(box, label, crowd):
    width = min(box[2], label[2]) - max(box[0], label[0])
    height = min(box[3], label[3]) - max(box[1], label[1])
    shared = max(width, 0) * max(height, 0)
    own = (box[2] - box[0]) * (box[3] - box[1])
    other = (label[2] - label[0]) * (label[3] - label[1])
    return shared / (own if crowd else own + other - shared)


def matched(boxes, labels, threshold):
    """Of each box, the surest first: its score, and whether it is right, wrong or does not count."""
    taken, marks = set(), []
    labels = sorted(labels, key=lambda label: label[1])  # those that count first
    for box, score in sorted(boxes, key=lambda b: -b[1])[:100]:
        best, chosen = min(threshold, 1 - 1e-10), None
        for index, (label, crowd) in enumerate(labels):
            if index in taken and not crowd:
                continue
            if chosen is not None and not labels[chosen][1] and crowd:
                break
            value = overlap(box, label, crowd)
            if value >= best:
                best, chosen = value, index
        if chosen is None:
            marks.append((score, "wrong"))
        else:
            taken.add(chosen)
            marks.append((score, "nothing" if labels[chosen][1] else "right"))
    return marks


def average_precision(images, threshold):
    """Of one class: `images` are pairs of found [(box, score)] and labels [(box, crowd)]."""
    asked = sum(not crowd for _, labels in images for _, crowd in labels)
    if not asked:
        return float("nan")
    marks = [mark for boxes, labels in images for mark in matched(boxes, labels, threshold)]
    marks = [mark for mark in sorted(marks, key=lambda m: -m[0]) if mark[1] != "nothing"]
    right = np.cumsum([mark == "right" for _, mark in marks])
    recall, precision = right / asked, right / np.arange(1, len(marks) + 1)
    steps = []
    for step in np.linspace(0, 1, 101):
        above = precision[recall >= step]
        steps.append(above.max() if above.size else 0)
    return float(np.mean(steps))
