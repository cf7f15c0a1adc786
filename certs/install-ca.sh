#!/bin/sh
# Adds a SEKS CA certificate to the trust store of the system this runs on: a container image while it is
# built, a virtual machine, a sandbox. Needs root. Programs with a trust store of their own (Node, Java,
# Firefox, Python's requests) need the variables that `seks env` prints as well.
#
#   install-ca.sh seks-ca-cert.pem
set -eu

fail() {
    echo "install-ca: error: $1" >&2
    exit 1
}

[ $# -eq 1 ] || fail "usage: install-ca.sh CERTIFICATE"
[ -r "$1" ] || fail "can't read $1"
grep -q 'PRIVATE KEY' "$1" && fail "$1 holds a private key; give the sandbox seks-ca-cert.pem, never seks-ca.pem"
grep -q 'BEGIN CERTIFICATE' "$1" || fail "$1 holds no certificate in PEM form"

install_into() {
    mkdir -p "$1"
    cp "$2" "$1/seks-ca.crt"
    chmod 644 "$1/seks-ca.crt"
}

if command -v update-ca-certificates >/dev/null; then # Debian, Ubuntu, Alpine, openSUSE
    if [ -d /etc/pki/trust/anchors ]; then
        install_into /etc/pki/trust/anchors "$1"
    else
        install_into /usr/local/share/ca-certificates "$1"
    fi
    update-ca-certificates
elif command -v update-ca-trust >/dev/null; then # Fedora, RHEL, Amazon Linux, Arch
    if [ -d /etc/ca-certificates/trust-source/anchors ]; then
        install_into /etc/ca-certificates/trust-source/anchors "$1"
    else
        install_into /etc/pki/ca-trust/source/anchors "$1"
    fi
    update-ca-trust
elif [ "$(uname)" = Darwin ]; then
    security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain "$1"
else
    fail "this system's trust store is unknown; install the package ca-certificates first"
fi
echo "install-ca: the system trusts the SEKS CA now" >&2
