#include "build/emulation.h"

#include <map>

#include "base/format.h"
#include "sys/file.h"

namespace berth::build {

bool runs_natively(const spec::Platform& wanted, const spec::Platform& host) {
  if (wanted.architecture.empty() || wanted.architecture == host.architecture) return true;
  if (host.architecture == "amd64") return wanted.architecture == "386";
  return host.architecture == "arm64" && wanted.architecture == "arm";
}

std::string emulator_name(const std::string& architecture) {
  static const std::map<std::string, std::string> names = {
      {"amd64", "x86_64"},        {"386", "i386"},          {"arm64", "aarch64"},
      {"loong64", "loongarch64"}, {"mips64le", "mips64el"}, {"mipsle", "mipsel"}};
  const auto found = names.find(architecture);
  return "qemu-" + (found == names.end() ? architecture : found->second);
}

Error with_emulation_advice(Error error, const spec::Platform& wanted, const std::string& directory) {
  const spec::Platform host = spec::Platform::host();
  if (error.kind() != Kind::InvalidArgument || runs_natively(wanted, host)) return error;
  const std::string name = emulator_name(wanted.architecture);
  const auto state = sys::read_file(directory + "/" + name, 4096);
  if (state && state->starts_with("enabled")) return error;
  return failure(
      Kind::InvalidArgument,
      "{}: RUN of a stage for {} needs an emulator on this {} host, and the kernel has none ({}/{}): "
      "install qemu-user-static (Debian: apt install qemu-user-static binfmt-support), or run the "
      "stage here with FROM --platform=$BUILDPLATFORM and cross-compile",
      error.message(), wanted.str(), host.str(), directory, name);
}

}  // namespace berth::build
