"""Runs in the virtual machine: what the host asks for, one command after the other.

A line from the host is a command, a JSON array of strings. What it prints goes back as {"output": …} in pieces as it
comes, its end as {"code": …}. The first line of all is {"ready": …}, the seconds since the kernel started.
"""
import codecs
import json
import os
import subprocess

PORT = "/dev/virtio-ports/assay"


def main():
    port = os.open(PORT, os.O_RDWR)
    lines = os.fdopen(os.dup(port), "rb")

    def say(**message):
        left = json.dumps(message).encode() + b"\n"
        while left:
            left = left[os.write(port, left):]

    with open("/proc/uptime") as uptime:
        say(ready=float(uptime.read().split()[0]))
    for line in lines:
        child = subprocess.Popen(json.loads(line), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT)
        text = codecs.getincrementaldecoder("utf-8")("replace")
        while piece := os.read(child.stdout.fileno(), 1 << 16):
            say(output=text.decode(piece))
        child.stdout.close()
        say(code=child.wait())


main()
