"""The runner: order, errors, bounded memory, interruption."""

import threading
import time

import pytest
import torch

from refinefuse.inference.pipeline import Pair, run
from refinefuse.inference.threads import BoundedQueue


class Reader:
    """Yields `count` pairs; records what was read."""

    total = None

    def __init__(self, count, fail_at=None):
        self.count, self.fail_at, self.read, self.closed = count, fail_at, [], False

    def __iter__(self):
        try:
            for index in range(self.count):
                if index == self.fail_at:
                    raise ValueError(f"reader {index}")
                self.read.append(index)
                yield Pair(str(index), (torch.zeros(1, 1, 1, 1),), index)
        finally:
            self.closed = True


class Writer:
    """Collects what comes; fails at one pair."""

    def __init__(self, fail_at=None, pause=0.0):
        self.fail_at, self.pause, self.pairs, self.ended_by = fail_at, pause, [], None

    def write(self, pairs):
        try:
            for pair in pairs:
                time.sleep(self.pause)
                if pair.origin == self.fail_at:
                    raise OSError("writer")
                self.pairs.append(pair)
        except BaseException as error:
            self.ended_by = error
            raise


def test_order_is_kept_and_every_stage_works_on_every_pair():
    writer, seen = Writer(), []
    run(Reader(50), [lambda pair: seen.append(pair.origin), lambda pair: seen.append(-pair.origin)], writer)
    assert [pair.origin for pair in writer.pairs] == list(range(50))
    assert seen == [sign * index for index in range(50) for sign in (1, -1)]


def test_reading_fusing_and_writing_overlap():
    threads = set()

    class Seeing(Writer):
        def write(self, pairs):
            threads.add(threading.current_thread())
            super().write(pairs)

    class Read(Reader):
        def __iter__(self):
            threads.add(threading.current_thread())
            yield from super().__iter__()

    run(Read(3), [lambda pair: threads.add(threading.current_thread())], Seeing())
    assert len(threads) == 3


def test_few_pairs_are_in_memory():
    reader, ahead = Reader(60), []

    class Watching(Writer):
        def write(self, pairs):
            for pair in pairs:
                time.sleep(0.002)
                ahead.append(len(reader.read) - pair.origin)

    run(reader, [], Watching())
    assert max(ahead) <= 8


def test_what_a_stage_raises_becomes_the_error_of_its_pair_and_ends_its_way():
    later = []

    def failing(pair):
        if pair.origin == 2:
            raise ValueError("stage")

    writer = Writer()
    run(Reader(5), [failing, lambda pair: later.append(pair.origin)], writer)
    assert later == [0, 1, 3, 4]
    assert [type(pair.error) for pair in writer.pairs] == [type(None)] * 2 + [ValueError] + [type(None)] * 2
    with pytest.raises(ValueError, match="stage"):
        writer.pairs[2].require_output()


def test_an_error_of_the_reader_ends_it_after_what_was_read():
    writer = Writer(pause=0.01)
    with pytest.raises(ValueError, match="reader 3"):
        run(Reader(9, fail_at=3), [], writer)
    assert [pair.origin for pair in writer.pairs] == [0, 1, 2]
    assert isinstance(writer.ended_by, ValueError)


def test_an_error_of_the_writer_stops_the_reader():
    reader = Reader(10_000)
    with pytest.raises(OSError, match="writer"):
        run(reader, [], Writer(fail_at=3))
    assert len(reader.read) < 100
    assert reader.closed


def test_an_interruption_lets_the_writer_finish_what_it_has():
    def interrupting(pair):
        if pair.origin == 5:
            raise KeyboardInterrupt

    before, reader, writer = threading.active_count(), Reader(10_000), Writer(pause=0.005)
    with pytest.raises(KeyboardInterrupt):
        run(reader, [interrupting], writer)
    assert [pair.origin for pair in writer.pairs] == [0, 1, 2, 3, 4]
    assert isinstance(writer.ended_by, KeyboardInterrupt)
    assert reader.closed
    assert threading.active_count() == before


def test_progress_is_reported_and_stops_the_run():
    seen, writer = [], Writer()

    def report(done, total):
        seen.append((done, total))
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Reader(50), [], writer, progress=report)
    assert seen == [(1, None), (2, None), (3, None)]
    assert isinstance(writer.ended_by, KeyboardInterrupt)
    assert len(writer.pairs) <= 3


def test_a_large_item_waits_alone_and_its_writer_with_it():
    queue, put = BoundedQueue(2, is_large=lambda item: item > 9), []

    def write():
        for item in (1, 2, 10, 3):
            queue.put(item)
            put.append(item)
        queue.finish()

    writer = threading.Thread(target=write)
    writer.start()
    items = iter(queue)
    for item, known in ((1, 2), (2, 2)):
        assert next(items) == item
        time.sleep(0.05)
        assert len(put) == known  # the large one is not put while another waits, nor done until it is taken
    assert list(items) == [10, 3]
    writer.join(10)
    assert put == [1, 2, 10, 3]
