"""A virtual machine that runs commands: qemu without KVM, a copy of nothing, gone with its process."""
import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import time


PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def end_with_parent():
    """However its parent ends, qemu does not outlive it."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Failed(Exception):
    """The machine did not do what it was asked to; the message says how it looked."""


class Machine:
    """Boots `image` (a folder with disk, vmlinuz, initrd); `disk` is mounted at /assay. What is written is lost."""

    def __init__(self, image, disk, folder, cpus=2, memory="2G"):
        self.console, self.errors = folder / "console", folder / "qemu"
        drives = []
        for path in (image / "disk", disk):
            name = f"disk{len(drives)}"
            drives += ["-drive", f"file={path},format=raw,if=none,id={name},snapshot=on,cache=unsafe",
                       "-device", f"virtio-blk-pci,drive={name}"]
        command = [
            # Five levels of page tables would make every miss of the emulated TLB dearer.
            "qemu-system-x86_64", "-machine", "pc", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off",
            "-smp", str(cpus), "-m", memory, "-nodefaults", "-display", "none", "-no-reboot",
            "-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd"),
            # Programs at the same addresses are translated once: starting one costs a quarter.
            "-append", "root=/dev/vda rw console=ttyS0 quiet panic=-1 mitigations=off norandmaps "
                       "systemd.show_status=0",
            "-serial", f"file:{self.console}", *drives,
            "-chardev", "stdio,id=port,signal=off", "-device", "virtio-serial-pci",
            "-device", "virtserialport,chardev=port,name=assay",
        ]
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                            env={**os.environ, "TMPDIR": str(folder)},  # where the snapshots are
                                            preexec_fn=end_with_parent)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def message(self, end):
        """The next message of the guest, before the monotonic time `end`."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.buffer:
                if not selector.select(max(0, end - time.monotonic())):
                    raise Failed("no answer in time")
                piece = os.read(self.process.stdout.fileno(), 1 << 16)
                if not piece:
                    raise Failed("the virtual machine ended")
                self.buffer += piece
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def boot(self, seconds):
        """The guest's own seconds until it was ready."""
        return self.message(time.monotonic() + seconds)["ready"]

    def run(self, command, seconds, show=None):
        """Runs a command as root and returns its exit code and output; `show` gets the output as it comes."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps([str(word) for word in command]).encode() + b"\n")
            self.process.stdin.flush()
        end = time.monotonic() + seconds
        output = ""
        while True:
            message = self.message(end)
            if "code" in message:
                return message["code"], output
            output += message["output"]
            if show:
                show(message["output"])

    def tail(self, lines=40):
        """The last of the console, and what qemu complained about."""
        text = ""
        for path in (self.console, self.errors):
            with contextlib.suppress(FileNotFoundError):
                text += path.read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])
