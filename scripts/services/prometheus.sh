# shellcheck shell=bash
# Prometheus is a single binary that the tests start themselves. It is taken out of Debian's package into the
# cache folder, as installing that package would also set up a service on this machine.

prometheus_package=prometheus
prometheus_folder=$services_cache/prometheus

# Prints the path of the binary: the one on the PATH, else the unpacked one.
prometheus_binary() {
  command -v prometheus && return
  [[ -x $prometheus_folder/usr/bin/prometheus ]] && echo "$prometheus_folder/usr/bin/prometheus"
}

# The folder appears whole or not at all. Needs no root.
prometheus_unpack() {
  local fetching=$prometheus_folder.$$
  rm -rf "$fetching"
  mkdir -p "$fetching/package"
  (cd "$fetching" && apt-get -q download "$prometheus_package" && dpkg-deb --extract ./*.deb package) &&
    mv -T "$fetching/package" "$prometheus_folder"
  local status=$?
  rm -rf "$fetching"
  return "$status"
}
