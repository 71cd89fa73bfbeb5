"""A training over several devices of one host: as exact as on one, and Keras's own numbers."""

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent / "programs" / "spread.py"


def test_over_four_devices(tmp_path):
    done = subprocess.run(
        [sys.executable, PROGRAM, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    moments, farthest = done.stdout.split()
    assert int(moments) >= 2 * (2 + 1)
    assert float(farthest) < 1e-5
