// certs.d
#include "registry/client/certificates.h"

#include <algorithm>
#include <set>

#include "base/format.h"
#include "sys/file.h"

namespace berth::registry {
namespace {

constexpr size_t max_certificate = 1u << 20;
constexpr size_t max_files = 64;

Result<Certificates> read_folder(const std::string& folder, std::vector<sys::DirEntry> entries) {
  std::set<std::string> names;
  for (sys::DirEntry& entry : entries) names.insert(std::move(entry.name));
  Certificates found;
  for (const std::string& name : names) {
    std::string path = folder + "/" + name;
    if (name.ends_with(".crt")) {
      TRY(std::string text, sys::read_file(path, max_certificate));
      found.authorities += text + "\n";
    } else if (name.ends_with(".cert")) {
      std::string key = name.substr(0, name.size() - 5) + ".key";
      if (!names.contains(key)) {
        return failure(
            Kind::InvalidArgument,
            "missing key {} for client certificate {}. CA certificates must use the extension .crt", key,
            path);
      }
      if (!found.client_certificate.empty()) continue;
      found.client_certificate = path;
      found.client_key = folder + "/" + key;
    } else if (name.ends_with(".key")) {
      std::string certificate = name.substr(0, name.size() - 4) + ".cert";
      if (!names.contains(certificate))
        return failure(Kind::InvalidArgument, "missing client certificate {} for key {}", certificate, name);
    }
  }
  return found;
}

}  // namespace

Result<Certificates> find_certificates(const Settings& settings, const Url& url) {
  for (const std::string& folder : settings.certificate_folders) {
    for (const std::string& name : {fmt::format("{}:{}", url.host, url.port), url.host}) {
      if (name == url.host && url.port != 443) continue;
      std::string path = folder + "/" + name;
      auto entries = sys::list_dir(path);
      if (!entries && entries.error().kind() == Kind::NotFound) continue;
      if (!entries) return std::move(entries).error().in("read certificates");
      if (entries->size() > max_files)
        return failure(Kind::InvalidArgument, "{}: more than {} files", path, max_files);
      return read_folder(path, std::move(*entries));
    }
  }
  return Certificates{};
}

}  // namespace berth::registry
