// Files into texts.
#include "apps/berthd/registry_options.h"

#include "engine/engine.h"
#include "sys/file.h"

namespace berth::berthd {
namespace {

constexpr size_t max_file = size_t{4} << 20;

Result<std::string> read_named(std::string_view flag, const std::string& path) {
  if (path.empty()) return std::string();
  auto text = sys::read_file(path, max_file);
  if (!text) return std::move(text).error().in(flag);
  return text;
}

}  // namespace

api::RegistryServices registry_services(io::EventLoop& loop, engine::Engine& engine) {
  engine::Engine* holder = &engine;
  return {.loop = loop,
          .database = engine.database(),
          .content = engine.content_store(),
          .images = engine.image_store(),
          .content_root = engine.options().data_root + "/content",
          .in_use = [holder] { return holder->layers_in_use(); }};
}

Result<api::RegistrySettings> read_registry_files(const RegistryOptions& options) {
  api::RegistrySettings settings;
  settings.address = options.address;
  TRY(settings.certificate, read_named("--registry-cert", options.certificate));
  TRY(settings.key, read_named("--registry-key", options.key));
  TRY(settings.htpasswd, read_named("--registry-htpasswd", options.htpasswd));
  settings.read_only = options.read_only;
  settings.deletion = options.deletion;
  settings.quota = options.quota;
  return settings;
}

}  // namespace berth::berthd
