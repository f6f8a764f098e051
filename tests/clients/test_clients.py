"""What Python libraries make of our files; `make clients` asks other programs too."""

import pytest

pytest.importorskip("av", reason="needs the extra `video`")
pytest.importorskip("nibabel", reason="needs the extra `medical`")
pytest.importorskip("matplotlib", reason="needs the extra `benchmark`")

import exported_networks
import stills
import videos
import volumes
from outputs import Outputs


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The files, each made when it is first asked for."""
    return Outputs(tmp_path_factory.mktemp("clients"))


def libraries(module):
    """OpenVINO at its defaults is left to `make clients`: a training that follows it in one process crashes."""
    clients = [one for one in module.CLIENTS if not one.program and one.name != "OpenVINO, defaults"]
    return [pytest.param(one, id=one.name) for one in clients]


@pytest.mark.slow
@pytest.mark.parametrize(
    "client", [*libraries(stills), *libraries(videos), *libraries(volumes), *libraries(exported_networks)]
)
def test_library(outputs, client):
    assert client.check(outputs)
