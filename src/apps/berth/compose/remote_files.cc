#include "apps/berth/compose/remote_files.h"

#include <unistd.h>

#include <filesystem>

#include "apps/berth/archive/file_text.h"
#include "apps/berth/compose/external_program.h"
#include "base/format.h"
#include "base/id.h"
#include "base/sha256.h"

namespace berth::cli::compose {
namespace {

namespace filesystem = std::filesystem;

constexpr std::string_view artifact_prefix = "oci://";
constexpr const char* default_names[] = {"compose.yaml", "compose.yml", "docker-compose.yaml",
                                         "docker-compose.yml"};
constexpr size_t max_git_output = size_t{4} << 20;

/// The path within the folder; links that lead out of it are refused.
Result<std::string> within(const std::string& folder, const std::string& path) {
  std::error_code error;
  const auto base = filesystem::canonical(folder, error);
  if (error) return Error::from_errno("open", folder, error.value());
  const auto target = filesystem::canonical(base / path, error);
  if (error)
    return failure(Kind::NotFound, "{} is not in the repository", path.empty() ? std::string(".") : path);
  const auto relative = target.lexically_relative(base);
  if (relative.empty() || *relative.begin() == "..")
    return failure(Kind::InvalidArgument, "{} leads out of the repository", path);
  return target.string();
}

Result<std::string> compose_file_in(const std::string& folder) {
  for (const char* name : default_names) {
    const std::string path = folder + "/" + name;
    if (filesystem::is_regular_file(path)) return path;
  }
  return failure(Kind::NotFound, "there is no compose.yaml in {}", folder);
}

/// Gives a finished folder its name; another process may have been faster.
Result<void> settle(const std::string& temporary, const std::string& folder) {
  std::error_code error;
  filesystem::rename(temporary, folder, error);
  if (error && !filesystem::is_directory(folder))
    return Error::from_errno("rename", temporary, error.value());
  if (error) filesystem::remove_all(temporary, error);
  return {};
}

/// Removed unless it was settled.
struct Temporary {
  std::string path;
  ~Temporary() {
    std::error_code ignored;
    filesystem::remove_all(path, ignored);
  }
};

}  // namespace

bool RemoteFiles::is_remote(std::string_view text) {
  return text.find("://") != text.npos || spec::parse_git_place(text).has_value();
}

Result<std::string> RemoteFiles::fetch(const std::string& text) {
  const auto known = known_.find(text);
  if (known != known_.end()) return known->second;
  std::string path;
  if (const auto place = spec::parse_git_place(text)) {
    auto fetched = fetch_git(*place);
    if (!fetched) return std::move(fetched).error().in("fetching", text);
    path = std::move(*fetched);
  } else if (text.starts_with(artifact_prefix)) {
    auto fetched = fetch_artifact(text.substr(artifact_prefix.size()));
    if (!fetched) return std::move(fetched).error().in("fetching", text);
    path = std::move(*fetched);
  } else {
    return failure(Kind::Unsupported,
                   "\"{}\" is neither a git repository (https://HOST/NAME.git#REF:DIR) nor an artifact "
                   "(oci://HOST/NAME:TAG): fetch the file and name its path",
                   text);
  }
  fetched_.insert(text);
  known_[text] = path;
  return path;
}

Result<std::string> RemoteFiles::cache_folder(const char* kind) const {
  const auto variable = [&](const char* name) {
    const auto found = environment_.find(name);
    return found == environment_.end() ? std::string() : found->second;
  };
  std::string cache = variable("XDG_CACHE_HOME");
  if (!cache.starts_with('/')) {
    const std::string home = variable("HOME");
    if (!home.starts_with('/'))
      return Error(Kind::InvalidArgument, "there is no place for fetched files: set HOME or XDG_CACHE_HOME");
    cache = home + "/.cache";
  }
  const std::string folder = cache + "/berth/compose/" + kind;
  std::error_code error;
  filesystem::create_directories(folder, error);
  if (error) return Error::from_errno("make", folder, error.value());
  filesystem::permissions(folder, filesystem::perms::owner_all, error);
  return folder;
}

Result<std::string> RemoteFiles::run_git(const std::vector<std::string>& words) {
  Environment variables = environment_;
  variables.try_emplace("GIT_TERMINAL_PROMPT", "0");
  if (!variables.contains("GIT_SSH"))
    variables.try_emplace("GIT_SSH_COMMAND", "ssh -o ControlMaster=no -o BatchMode=yes");
  // Not ext:: and the like, which run programs, by redirections of a server's.
  variables["GIT_ALLOW_PROTOCOL"] = "https:http:git:ssh";
  std::string output;
  ExternalProgram program{.arguments = words, .environment = std::move(variables)};
  program.line = [&output](std::string_view line) -> Outcome<void> {
    if (output.size() + line.size() > max_git_output) return refuse("git told too much");
    output.append(line).append("\n");
    return {};
  };
  const auto code = run_program(program);
  if (!code) return Error(Kind::Unavailable, code.error().message);
  if (*code != 0)
    return failure(Kind::Unavailable, "git {} failed with exit code {}", words.size() > 1 ? words[1] : "",
                   *code);
  return output;
}

/// Lines are "COMMIT<tab>NAME"; a name's end matches other names too.
Result<std::string> RemoteFiles::commit_of(const std::string& git, const spec::GitPlace& place) {
  if (spec::is_git_commit(place.ref)) return place.ref;
  TRY(const std::string output, run_git({git, "ls-remote", "--", place.repository, place.ref}));
  std::map<std::string, std::string> commits;
  for (std::string_view rest = output; !rest.empty();) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    const size_t tab = line.find('\t');
    if (tab != line.npos) commits[std::string(line.substr(tab + 1))] = line.substr(0, tab);
    rest.remove_prefix(end == rest.npos ? rest.size() : end + 1);
  }
  for (const std::string& name :
       {place.ref, "refs/" + place.ref, "refs/tags/" + place.ref, "refs/heads/" + place.ref}) {
    const auto found = commits.find(name);
    if (found != commits.end() && spec::is_git_commit(found->second)) return found->second;
  }
  return failure(Kind::NotFound, "{} has no branch or tag {}", place.repository, place.ref);
}

Result<void> RemoteFiles::check_out(const std::string& git, const spec::GitPlace& place,
                                    const std::string& commit, const std::string& folder) {
  const Temporary temporary{folder + ".new-" + random_id().substr(0, 12)};
  TRY([[maybe_unused]] const auto made, run_git({git, "init", "--quiet", temporary.path}));
  auto fetch = [&](const std::string& what) {
    return run_git(
        {git, "-C", temporary.path, "fetch", "--quiet", "--depth=1", "--", place.repository, what});
  };
  // Servers need not give a commit by its name.
  if (auto fetched = fetch(commit); !fetched) {
    if (spec::is_git_commit(place.ref)) return std::move(fetched).error();
    TRY([[maybe_unused]] const auto by_name, fetch(place.ref));
  }
  TRY([[maybe_unused]] const auto checked_out,
      run_git({git, "-c", "core.hooksPath=/dev/null", "-C", temporary.path, "checkout", "--quiet", "--detach",
               commit}));
  return settle(temporary.path, folder);
}

Result<std::string> RemoteFiles::fetch_git(const spec::GitPlace& place) {
  CHECK(spec::check_git_place(place));
  const std::string git = find_program("git", environment_);
  if (git.empty()) return Error(Kind::NotFound, "git is not in PATH: install it");
  TRY(const std::string commit, commit_of(git, place));
  TRY(const std::string cache, cache_folder("git"));
  const std::string folder = cache + "/" + sha256(place.repository).hex().substr(0, 16) + "-" + commit;
  if (!filesystem::is_directory(folder)) CHECK(check_out(git, place, commit, folder));
  TRY(const std::string target, within(folder, place.path));
  if (!filesystem::is_directory(target)) return target;
  TRY(const std::string file, compose_file_in(target));
  return within(folder, filesystem::path(file).lexically_relative(filesystem::canonical(folder)).string());
}

Result<std::string> RemoteFiles::fetch_artifact(const std::string& reference) {
  if (!artifacts_) return Error(Kind::Unsupported, "artifacts of registries need an engine");
  TRY(const auto files, artifacts_(reference));
  std::string all;
  for (const auto& [name, content] : files) {
    const bool plain = !name.empty() && name.find('/') == std::string::npos && name != "." && name != "..";
    if (!plain)
      return failure(Kind::InvalidArgument, "the artifact has a file \"{}\", which is no plain name", name);
    all += fmt::format("{} {}\n", name, sha256(content).hex());
  }
  if (!files.contains("compose.yaml"))
    return Error(Kind::InvalidArgument, "the artifact has no Compose file");
  TRY(const std::string cache, cache_folder("oci"));
  const std::string folder = cache + "/" + sha256(all).hex();
  if (!filesystem::is_directory(folder)) {
    const Temporary temporary{folder + ".new-" + random_id().substr(0, 12)};
    std::error_code error;
    filesystem::create_directories(temporary.path, error);
    if (error) return Error::from_errno("make", temporary.path, error.value());
    for (const auto& [name, content] : files)
      CHECK(archive::write_text(temporary.path + "/" + name, content, 0600));
    CHECK(settle(temporary.path, folder));
  }
  return folder + "/compose.yaml";
}

}  // namespace berth::cli::compose
