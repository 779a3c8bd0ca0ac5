"""Object code in memory."""

import subprocess
import sys

import pytest

# Free memory is one page, and what lies 8 GiB below it.
FAR = """
import ctypes
from plait.runtime import host
from plait.runtime.library import Library

code = host.assemble('''
@table = private constant [4 x double] [double 1.5, double 2.5, double 3.5, double 4.5]
define double @kernel(i64 %i) {
  %place = getelementptr [4 x double], ptr @table, i64 0, i64 %i
  %x = load double, ptr %place
  %y = fadd double %x, 0x3FF3333333333333
  ret double %y
}
''')
first = Library(code)  # what LLVM needs for itself, it has now

system = ctypes.CDLL(None)
address, length, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
system.mmap.restype = address
system.mmap.argtypes = [address, length, number, number, number, ctypes.c_long]
system.munmap.argtypes = [address, length]

def taken(size):
    # Private, of no file, without swap space, and neither to be read nor written.
    return system.mmap(None, size, 0, 0x22 | 0x4000, -1, 0)

size, page = 1 << 33, 4096
big = taken(size)
for power in range(30, 11, -1):
    while (found := taken(1 << power)) > big:
        pass
    system.munmap(found, 1 << power)
system.munmap(big + size - page, page)

kernel = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64)
second = Library(code)
print(*[kernel(x.addresses["kernel"])(2) for x in (first, second)])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for memory")
def test_code_and_constants_are_near_each_other():
    done = subprocess.run(
        [sys.executable, "-c", FAR], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["4.7", "4.7"]
