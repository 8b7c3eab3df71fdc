#!/usr/bin/env bash
# A Debian package from a program that runs on this machine: deploy/deb.sh PROGRAM [DIRECTORY]
# The package's architecture is that of the program; its bytes depend on the program and SOURCE_DATE_EPOCH only.
set -euo pipefail
program=$(realpath "$1")
out=$(realpath "${2:-.}")
cd "$(dirname "$0")/.."
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2> /dev/null || echo 0)}"
export SOURCE_DATE_EPOCH
version=$("$program" version | cut -d ' ' -f 2)
case $(od -An -tx1 -j18 -N2 "$program" | tr -d ' ') in
  3e00) arch=amd64 ;;
  b700) arch=arm64 ;;
  2800) arch=armhf ;;
  *) echo "$program: not a program for amd64, arm64 or armhf" >&2; exit 1 ;;
esac
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

install -D -m 755 "$program" "$root/usr/bin/poe2openai"
for unit in service socket; do
  install -D -m 644 "deploy/systemd/poe2openai.$unit" "$root/lib/systemd/system/poe2openai.$unit"
done
install -D -m 600 deploy/systemd/environment "$root/etc/poe2openai/environment"
chmod 700 "$root/etc/poe2openai"
install -D -m 644 LICENSE "$root/usr/share/doc/poe2openai/copyright"
install -D -m 644 models.yaml.example "$root/usr/share/doc/poe2openai/examples/models.yaml"
gzip -9n < CHANGELOG.md | install -D -m 644 /dev/stdin "$root/usr/share/doc/poe2openai/changelog.gz"
"$program" man | gzip -9n | install -D -m 644 /dev/stdin "$root/usr/share/man/man1/poe2openai.1.gz"
"$program" completions bash | install -D -m 644 /dev/stdin "$root/usr/share/bash-completion/completions/poe2openai"
"$program" completions zsh | install -D -m 644 /dev/stdin "$root/usr/share/zsh/vendor-completions/_poe2openai"
"$program" completions fish | install -D -m 644 /dev/stdin "$root/usr/share/fish/vendor_completions.d/poe2openai.fish"

install -d "$root/DEBIAN"
cat > "$root/DEBIAN/control" << END
Package: poe2openai
Version: $version
Architecture: $arch
Maintainer: poe2openai <noreply@github.com>
Installed-Size: $(du -k -s --apparent-size "$root" | cut -f 1)
Section: net
Priority: optional
Homepage: https://github.com/poe2openai/poe2openai
Description: OpenAI-, Anthropic- and Ollama-compatible API for Poe
 Lets any program that speaks OpenAI's, Anthropic's or Ollama's API use any
 bot on Poe. One static program; the service runs as a user of its own, with
 its state in /var/lib/poe2openai and its settings in /etc/poe2openai.
END
echo /etc/poe2openai/environment > "$root/DEBIAN/conffiles"
install -m 755 deploy/debian/postinst deploy/debian/prerm deploy/debian/postrm "$root/DEBIAN/"

find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group --uniform-compression --build "$root" "$out/poe2openai_${version}_$arch.deb"
