// publish: the project's files go to a registry, from where `-f oci://` and `include` run them. Files that
// they name go with them, under names that tell nothing of this machine.
#include <unistd.h>

#include <array>
#include <filesystem>

#include "apps/berth/archive/file_text.h"
#include "apps/berth/commands/prompt.h"
#include "apps/berth/commands/registry_auth.h"
#include "apps/berth/compose/artifact.h"
#include "apps/berth/compose/images.h"
#include "apps/berth/compose/interpolation.h"
#include "apps/berth/compose/normalise.h"
#include "apps/berth/compose/remote_files.h"
#include "apps/berth/compose/request.h"
#include "apps/berth/compose/sensitive.h"
#include "apps/berth/compose/subcommand.h"
#include "base/bytes.h"
#include "base/json.h"
#include "base/sha256.h"

namespace berth::cli::compose {
namespace {

using grammar::Command;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

constexpr size_t max_file = size_t{4} << 20;

/// What is put in a scalar's place.
struct Replacement {
  Value scalar;  ///< as parsed
  std::string text;
};

/// By line and column: what an anchor names several times stands in the text once.
using Replacements = std::map<std::pair<unsigned, unsigned>, Replacement>;

/// The byte where line and column (both from 1) are.
size_t offset_of(std::string_view text, const Position& at) {
  size_t line_start = 0;
  for (unsigned line = 1; line < at.line; ++line) line_start = text.find('\n', line_start) + 1;
  return line_start + at.column - 1;
}

/// How many bytes the scalar takes at `start`, quotes included. InvalidArgument: it is written in a way (with
/// escapes, an anchor, over several lines) in which it cannot be replaced.
Result<size_t> length_at(std::string_view text, size_t start, const Value& scalar) {
  const std::string_view raw = scalar.text;
  if (text.substr(start, raw.size()) == raw) return raw.size();
  const std::string_view quote = text.substr(start, 1);
  if ((quote == "\"" || quote == "'") && text.substr(start + 1, raw.size()) == raw &&
      text.substr(start + 1 + raw.size(), 1) == quote)
    return raw.size() + 2;
  return failure(
      Kind::InvalidArgument,
      "{}: the name \"{}\" cannot be replaced by one that tells nothing of this machine: write it on one "
      "line, without escapes and without an anchor before it",
      scalar.at.str(), raw);
}

/// From the back, so that places before stay where they are.
Result<std::string> replaced(std::string text, const Replacements& replacements) {
  for (auto it = replacements.rbegin(); it != replacements.rend(); ++it) {
    const Replacement& one = it->second;
    const size_t start = offset_of(text, one.scalar.at);
    TRY(const size_t length, length_at(text, start, one.scalar));
    text.replace(start, length, one.text);
  }
  return text;
}

/// Collects what is published.
class Parcel {
 public:
  explicit Parcel(const Project& project) : project_(project) {}

  Result<void> add_compose_file(const std::string& path, std::string name, bool extended) {
    TRY(std::string text, archive::read_text(path, max_file));
    TRY(const auto documents, parse_yaml_documents(text, path));
    const std::string folder =
        extended ? std::filesystem::path(path).parent_path().string() : project_.directory;
    Replacements replacements;
    for (const Value& document : documents) {
      if (!extended) CHECK(refuse_local_includes(document));
      CHECK(take_services(document, folder, replacements));
    }
    Json annotations{{annotation_version, compose_version}, {annotation_file, std::move(name)}};
    if (extended) annotations[std::string(annotation_extends)] = "true";
    TRY(text, replaced(std::move(text), replacements));
    add(artifact_file_type, text, std::move(annotations));
    return {};
  }

  /// What the files extend, and what those extend in their turn.
  Result<void> add_extended_files() {
    std::set<std::string> done;
    while (done.size() < extended_.size()) {
      for (const auto& [path, name] : std::map<std::string, std::string>(extended_))
        if (done.insert(path).second) CHECK(add_compose_file(path, name, true));
    }
    return {};
  }

  Result<void> add_env_files() {
    for (const auto& [path, name] : env_files_) {
      auto text = archive::read_text(path, max_file);
      if (!text) continue;  // one that need not be there
      add(artifact_env_type, std::move(*text),
          {{annotation_version, compose_version}, {annotation_env_file, name}});
    }
    return {};
  }

  void add(std::string_view type, const std::string& content, Json annotations) {
    files_.push_back(
        {{"MediaType", type}, {"Annotations", std::move(annotations)}, {"Content", to_base64(content)}});
  }

  const Json& files() const { return files_; }

 private:
  static Result<void> refuse_local_includes(const Value& document) {
    const Value* includes = document.find("include");
    for (const Value& one : includes == nullptr ? Value::List() : includes->items) {
      std::vector<std::string> paths{one.text};
      if (one.is_map()) {
        TRY(paths, texts_of(one, "path", "include"));
      }
      for (const std::string& path : paths)
        if (!RemoteFiles::is_remote(path))
          return Error(Kind::InvalidArgument, "cannot publish compose file with local includes");
    }
    return {};
  }

  Result<std::string> whole_path(const Value& name, const std::string& folder) const {
    std::set<std::string> unset;
    const Lookup lookup = [&](const std::string& key) -> std::optional<std::string> {
      const auto found = project_.environment.find(key);
      return found == project_.environment.end() ? std::nullopt : std::optional(found->second);
    };
    TRY(const std::string text, interpolate(name.text, lookup, unset));
    return resolve_path(folder, text);
  }

  /// `name` is to be called by what its path hashes to.
  Result<void> rename(const Value& name, const std::string& folder, std::string_view suffix,
                      std::map<std::string, std::string>& files, Replacements& replacements) {
    TRY(const std::string path, whole_path(name, folder));
    const std::string hashed = sha256(path).hex() + std::string(suffix);
    files[path] = hashed;
    replacements[{name.at.line, name.at.column}] = {name, hashed};
    return {};
  }

  Result<void> take_services(const Value& document, const std::string& folder, Replacements& replacements) {
    const Value* services = document.find("services");
    for (const auto& [name, service] : services == nullptr ? Value::Map() : services->members) {
      if (const Value* files = service.find("env_file")) {
        const Value::List list = files->is_list() ? files->items : Value::List{*files};
        for (const Value& file : list) {
          const Value* path = file.is_map() ? file.find("path") : &file;
          if (path != nullptr) CHECK(rename(*path, folder, ".env", env_files_, replacements));
        }
      }
      const Value* extends = service.find("extends");
      const Value* file = extends == nullptr || !extends->is_map() ? nullptr : extends->find("file");
      if (file != nullptr && !RemoteFiles::is_remote(file->text))
        CHECK(rename(*file, folder, ".yaml", extended_, replacements));
    }
    return {};
  }

  const Project& project_;
  Json files_ = Json::array();
  std::map<std::string, std::string> env_files_, extended_;  ///< path to the name that it has elsewhere
};

Outcome<void> refuse_what_is_only_built(const Project& project) {
  std::string names;
  for (const auto& [name, service] : project.services)
    if (service.config.find("image") == nullptr && service.config.find("build") != nullptr)
      names += fmt::format("- \"{}\"\n", name);
  if (names.empty()) return {};
  return Failure::plain(
      "your Compose stack cannot be published as it only contains a build section for service(s):\n" + names);
}

std::string bind_mounts(const Project& project) {
  std::string found;
  for (const auto& [name, service] : project.services) {
    const Value* volumes = service.config.find("volumes");
    for (const Value& volume : volumes == nullptr ? Value::List() : volumes->items)
      if (volume.find("type")->text == "bind")
        found += fmt::format("{}: {}:{}\n", name, volume.find("source")->text, volume.find("target")->text);
  }
  return found;
}

/// Variables that would be told to everybody: as reasons against it, and as a list to agree to.
struct Variables {
  std::string reasons, list;
};

Variables variables_of(const Project& project) {
  Variables found;
  for (const auto& [name, service] : project.services) {
    if (service.declared.find("env_file") != nullptr)
      found.reasons += fmt::format("service \"{}\" has env_file declared.\n", name);
    const Value* variables = service.config.find("environment");
    if (variables == nullptr || variables->members.empty()) continue;
    found.reasons += fmt::format("service \"{}\" has environment variable(s) declared.\n", name);
    found.list += fmt::format("Service/Config  {}\n", name);
    for (const auto& [key, value] : variables->members) found.list += fmt::format("{}={}\n", key, value.text);
  }
  for (const auto& [key, config] : project.configs) {
    const Value* variable = config.config.find("environment");
    if (variable == nullptr) continue;
    found.reasons += fmt::format("config \"{}\" is declare as an environment variable.\n", config.name);
    found.list += fmt::format("Service/Config  {0}\n{0}={1}\n", config.name, variable->text);
  }
  return found;
}

void tell_sensitive(const std::string& key, const std::string& text, std::string& told) {
  for (const Sensitive& one : find_sensitive(text))
    told += fmt::format("{}\n\"{}\": {}\n", one.kind, key, one.value);
}

/// Values below a node, each with its path; entries of lists as `environment` may be one have their names
/// there.
void scan_values(const Value& value, const std::string& path, std::string& told) {
  if (value.is_scalar()) tell_sensitive(path, value.text, told);
  for (const Value& item : value.items) {
    const size_t equals = item.is_scalar() ? item.text.find('=') : std::string::npos;
    if (equals == std::string::npos)
      scan_values(item, path, told);
    else
      tell_sensitive(path + "." + item.text.substr(0, equals), item.text.substr(equals + 1), told);
  }
  for (const auto& [key, member] : value.members)
    scan_values(member, path.empty() ? key : path + "." + key, told);
}

void scan_env_file(const std::string& path, std::string& told) {
  auto text = archive::read_text(path, max_file);
  if (!text) return;
  for (size_t start = 0; start < text->size();) {
    const size_t end = std::min(text->find('\n', start), text->size());
    const std::string line = text->substr(start, end - start);
    const size_t equals = line.find('=');
    if (equals != std::string::npos) tell_sensitive(line.substr(0, equals), line.substr(equals + 1), told);
    start = end + 1;
  }
}

/// What looks like a key or a token in all that the project is made of.
Result<std::string> sensitive_data(const Project& project) {
  std::string told;
  for (const std::string& file : project.files) {
    TRY(const std::string text, archive::read_text(file, max_file));
    TRY(const auto documents, parse_yaml_documents(text, file));
    for (const Value& document : documents) scan_values(document, "", told);
  }
  for (const auto& [name, service] : project.services) {
    const Value* files = service.declared.find("env_file");
    for (const Value& file : files == nullptr ? Value::List() : files->items)
      if (const Value* path = file.find("path")) scan_env_file(path->text, told);
  }
  for (const auto* resources : {&project.configs, &project.secrets}) {
    for (const auto& [key, resource] : *resources) {
      const Value* file = resource.config.find("file");
      auto text = file == nullptr ? Result<std::string>("") : archive::read_text(file->text, max_file);
      if (text) tell_sensitive("", *text, told);
    }
  }
  return told;
}

/// Whether the user agrees to what could be private.
Outcome<bool> agreed(Session& session, const Invocation& invocation) {
  CHECK(refuse_what_is_only_built(session.project));
  if (invocation.on("yes")) return true;
  constexpr std::string_view care = "please double check that you are not leaking sensitive data\n";
  if (const std::string binds = bind_mounts(session.project); !binds.empty()) {
    session.report.say(
        "you are about to publish bind mounts declaration within your OCI artifact.\n"
        "only the bind mount declarations will be added to the OCI artifact (not content)\n"
        "please double check that you are not mounting potential user's sensitive directories or data\n" +
        binds);
    if (!commands::confirm(session.context, "Are you ok to publish these bind mount declarations?"))
      return false;
  }
  TRY(const std::string sensitive, sensitive_data(session.project));
  if (!sensitive.empty()) {
    session.report.say("you are about to publish sensitive data within your OCI artifact.\n" +
                       std::string(care) + sensitive);
    if (!commands::confirm(session.context, "Are you ok to publish these sensitive data?")) return false;
  }
  const Variables variables = variables_of(session.project);
  if (!variables.reasons.empty() && !invocation.on("with-env"))
    return Failure::plain(variables.reasons +
                          "To avoid leaking sensitive data, you must either explicitly allow the sending of "
                          "environment variables by using the --with-env flag,\n"
                          "or remove sensitive data from your Compose configuration");
  if (variables.list.empty()) return true;
  session.report.say("you are about to publish environment variables within your OCI artifact.\n" +
                     std::string(care) + variables.list);
  return commands::confirm(session.context, "Are you ok to publish these environment variables?");
}

/// A further file that names images by their digests.
Outcome<std::string> digests_file(Session& session) {
  Value services = Value::map();
  for (const auto& [name, service] : session.project.services) {
    if (service.config.find("image") == nullptr) continue;
    TRY(std::string image, pinned_image(session.context, image_of(session.project, service)));
    Value one = Value::map();
    one.set("image", Value::string(std::move(image)));
    services.set(name, std::move(one));
  }
  Value file = Value::map();
  file.set("services", std::move(services));
  return to_yaml(file);
}

Outcome<void> send(Session& session, const std::string& repository, const std::string& form,
                   const Json& files) {
  client::Request request{.method = "POST", .path = "/berth/artifacts", .body = to_json(files)};
  request.query.add("ref", repository).add("type", artifact_type).add("config", artifact_config_type);
  request.query.add_unless_empty("form", form);
  TRY(request.headers, commands::registry_auth_header(session.context, repository));
  auto sent = session.context.engine().call(request);
  if (!sent && sent.error().message == "page not found")
    return Failure::plain("publish needs berth's own engine");
  return sent ? Outcome<void>() : sent.error();
}

Outcome<int> publish(Setup& setup, const Invocation& invocation) {
  const std::string version = invocation.text("oci-version");
  if (!version.empty() && version != "1.0" && version != "1.1")
    return refuse("unsupported OCI version: {}", version);
  if (invocation.on("app")) return refuse("--app: images are not copied; they stay where their names say");
  const std::string& repository = invocation.argument(0);
  TRY(auto session, setup.project());
  Project& project = session->project;
  project.services.merge(project.disabled);
  Parcel parcel(project);
  for (const std::string& file : project.files)
    CHECK(parcel.add_compose_file(file, std::filesystem::path(file).filename().string(), false));
  CHECK(parcel.add_extended_files());
  if (invocation.on("with-env")) CHECK(parcel.add_env_files());
  TRY(const bool may, agreed(*session, invocation));
  if (!may) return 0;
  CHECK(push_images(*session, project.in_order(), true));
  if (invocation.on("resolve-image-digests")) {
    TRY(const std::string digests, digests_file(*session));
    parcel.add(artifact_file_type, digests,
               {{annotation_version, compose_version}, {annotation_file, "image-digests.yaml"}});
  }
  session->report.tell_line(repository, "publishing");
  if (!session->dry_run())
    CHECK(send(*session, repository, version.empty() ? "" : "oci-" + version, parcel.files()));
  session->report.tell_line(repository, "published");
  return 0;
}

constexpr std::array publish_flags{
    Flag{.name = "app", .visibility = grammar::Visibility::Hidden},
    Flag{.name = "oci-version", .type = Type::String, .help = "Form of the artifact: 1.0 or 1.1 (default)"},
    Flag{.name = "resolve-image-digests", .help = "Name images by their digests"},
    Flag{.name = "with-env", .help = "Publish environment variables and env files, too"},
    Flag{'y', "yes", Type::Bool, "Publish without being asked"},
};
constexpr Command publish_command{.usage = "[OPTIONS] REPOSITORY[:TAG]",
                                  .summary = "Put the project's files into a registry",
                                  .flags = publish_flags,
                                  .arity = grammar::exactly(1)};
constexpr std::array table{Subcommand{"publish", &publish_command, publish}};

}  // namespace

std::span<const Subcommand> publish_subcommands() {
  return table;
}

}  // namespace berth::cli::compose
