#!/usr/bin/python3 -I
# Installs Python packages into /assay/packages, in a jail that reaches the index by its proxy and nothing else. Says
# what is wrong on standard error, 1 on standard output.
import json
import os
import shutil
import subprocess
import sys

FOLDER, WORK = "/assay/packages", "/assay/packages/.work"
asked = json.load(sys.stdin)["metadata"]
os.umask(0o022)
os.mkdir(WORK)

settings = ["no-input = true", "disable-pip-version-check = true", "no-cache-dir = true", "progress-bar = off",
            "timeout = 30", "retries = 2"]
if asked["index"]:
    settings += ["index-url = " + asked["index"], "proxy = " + asked["proxy"]]
    if asked["index"].startswith("http://"):
        settings.append("trusted-host = " + asked["host"])
    if asked["certificates"]:
        with open("/tmp/certificates", "w") as file:
            file.write(asked["certificates"])
        settings.append("cert = /tmp/certificates")
else:
    settings += ["no-index = true", "find-links = /assay/wheels"]
with open("/tmp/pip.conf", "w") as file:
    file.write("[global]\n" + "\n".join(settings) + "\n")
with open("/tmp/requirements.txt", "w") as file:
    file.write("\n".join(asked["requirements"]) + "\n")

done = subprocess.run(
    [sys.executable, "-m", "pip", "install", "--quiet", "--target", FOLDER, "-r", "/tmp/requirements.txt"],
    env={**os.environ, "PIP_CONFIG_FILE": "/tmp/pip.conf", "HOME": WORK, "TMPDIR": WORK},
    stdout=sys.stderr)
if done.returncode != 0:
    sys.exit(done.returncode)
shutil.rmtree(WORK)
print(1)
