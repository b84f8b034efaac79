"""A certificate authority of a test's own, made with openssl."""
import os
import subprocess


class Authority:
    """Files in `folder`: NAME.pem, the authority's own certificate, and what issue() makes."""

    def __init__(self, folder, name="authority"):
        self.folder, self.name = folder, name
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                      "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.pem"),
                      "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")

    def path(self, name):
        return os.path.join(self.folder, name)

    def _openssl(self, *arguments):
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    @property
    def certificate(self):
        return self._read(f"{self.name}.pem")

    def _read(self, name):
        with open(self.path(name)) as file:
            return file.read()

    def issue(self, name, alternatives, password=None):
        """(certificate, PKCS #8 key) as PEM for `alternatives` ("DNS:localhost,IP:127.0.0.1"); the key is encrypted
        when there is a password."""
        key, request, extensions = (self.path(f"{name}.{ending}") for ending in ("key", "csr", "ext"))
        lock = ("-aes-256-cbc", "-pass", f"pass:{password}") if password else ()
        opened = ("-passin", f"pass:{password}") if password else ()
        self._openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", *lock, "-out", key)
        self._openssl("req", "-new", "-key", key, *opened, "-subj", f"/CN={name}", "-out", request)
        with open(extensions, "w") as file:
            file.write(f"subjectAltName={alternatives}\n")
        self._openssl("x509", "-req", "-in", request, "-CA", self.path(f"{self.name}.pem"), "-CAkey",
                      self.path(f"{self.name}.key"), "-set_serial", str(len(os.listdir(self.folder))), "-days", "2",
                      "-extfile", extensions, "-out", self.path(f"{name}.pem"))
        return self._read(f"{name}.pem"), self._read(f"{name}.key")
