#include "build/git_checkout.h"

#include <sys/stat.h>

#include <cstdio>
#include <functional>
#include <map>
#include <vector>

#include "base/format.h"
#include "build/git_program.h"
#include "spec/url_credentials.h"
#include "sys/file.h"

namespace berth::build {
namespace {

constexpr int most_depth = 8;            ///< of submodules in submodules
constexpr size_t most_submodules = 256;  ///< in all

/// A name that may be the beginning of a commit's.
bool may_be_commit(std::string_view ref) {
  return ref.size() >= 7 && ref.size() <= 64 && ref.find_first_not_of("0123456789abcdef") == ref.npos;
}

/// One entry of a tree, as `ls-tree -z` tells it: "100644 blob <name>\tpath"; with -l a size stands before
/// the tab.
struct TreeEntry {
  std::string_view kind;  ///< "blob", "commit"
  std::string_view object;
  uint64_t size = 0;
  std::string_view path;
};

Result<TreeEntry> parse_entry(std::string_view record) {
  const Error unknown(Kind::Corrupt, "git lists a tree in words that are not known");
  const size_t tab = record.find('\t');
  if (tab == record.npos) return unknown;
  std::vector<std::string_view> words;
  for (std::string_view head = record.substr(0, tab); !head.empty();) {
    const size_t end = std::min(head.find(' '), head.size());
    if (end > 0) words.push_back(head.substr(0, end));
    head.remove_prefix(std::min(end + 1, head.size()));
  }
  if (words.size() != 3 && words.size() != 4) return unknown;
  TreeEntry entry{.kind = words[1], .object = words[2], .path = record.substr(tab + 1)};
  if (words.size() == 3 || words[3] == "-") return entry;
  for (const char c : words[3]) {
    if (c < '0' || c > '9' || entry.size > UINT64_MAX / 16) return unknown;
    entry.size = entry.size * 10 + static_cast<uint64_t>(c - '0');
  }
  return entry;
}

/// Calls `take` with each record that a zero byte ends; what is left without one stays in `pending`.
Result<void> take_records(std::string& pending, std::string_view bytes,
                          const std::function<Result<void>(std::string_view)>& take) {
  constexpr size_t longest = size_t{1} << 20;
  pending += bytes;
  size_t start = 0;
  for (size_t end = pending.find('\0'); end != pending.npos; end = pending.find('\0', start)) {
    CHECK(take(std::string_view(pending).substr(start, end - start)));
    start = end + 1;
  }
  pending.erase(0, start);
  if (pending.size() > longest) return Error(Kind::Exhausted, "the repository has a path that is too long");
  return {};
}

struct Submodule {
  std::string path;
  std::string commit;
};

class Checkout {
 public:
  explicit Checkout(const GitRequest& request)
      : request_(request),
        git_({.directory = request.directory,
              .max_bytes = request.max_bytes,
              .agent = request.agent,
              .stop = request.stop}),
        top_(request.directory + "/files") {}

  Result<GitCheckout> run() {
    CHECK(spec::check_git_place(request_.place));
    CHECK(sys::make_dirs(top_));
    TRY(std::string commit, take(request_.place.repository, request_.place.ref, "", 0));
    if (request_.keep_git_directory && request_.place.path.empty()) CHECK(keep_git_directory());
    TRY(const auto root, sys::RootDir::open(top_));
    auto files = root.open_dir(request_.place.path.empty() ? "." : request_.place.path);
    if (!files)
      return failure(Kind::InvalidArgument, "there is no directory {} in the repository",
                     request_.place.path);
    return GitCheckout{std::move(*files), std::move(commit)};
  }

 private:
  std::string database(size_t number) const { return fmt::format("{}/git-{}", request_.directory, number); }

  /// Writes the files of a commit, and of its submodules, to the path below the top; the commit's name.
  Result<std::string> take(const std::string& repository, const std::string& ref, const std::string& path,
                           int depth) {
    const std::string data = database(taken_++);
    TRY(const std::string commit, fetch(repository, ref, data));
    TRY(const auto submodules, measure(data, commit));
    const std::string target = path.empty() ? top_ : top_ + "/" + path;
    CHECK(git_.run({"-C", target, "--git-dir=" + data, "-c", "core.bare=false", "--work-tree=" + target,
                    "checkout", "--quiet", "--force", "--detach", commit}));
    if (!submodules.empty()) CHECK(take_submodules(repository, data, commit, path, depth, submodules));
    return commit;
  }

  Result<std::string> fetch(const std::string& repository, const std::string& ref, const std::string& data) {
    CHECK(git_.run({"init", "--quiet", "--bare", "--template=", data}));
    const auto attempt = [&](std::vector<std::string> options, std::vector<std::string> what) {
      std::vector<std::string> words = {"--git-dir=" + data, "fetch", "--quiet", "--no-tags",
                                        "--no-recurse-submodules"};
      words.insert(words.end(), options.begin(), options.end());
      words.insert(words.end(), {"--", repository});
      words.insert(words.end(), what.begin(), what.end());
      return git_.run(words);
    };
    auto fetched = attempt({"--depth=1"}, {ref});
    const auto may_try_again = [&fetched] { return !fetched && fetched.error().kind() == Kind::Unavailable; };
    // Plain file servers have the whole history or nothing.
    if (may_try_again() && repository.starts_with("http")) fetched = attempt({}, {ref});
    if (fetched) return commit_of(data, "FETCH_HEAD");
    // Servers need not give a commit by its name, and never by the beginning of one.
    if (may_try_again() && may_be_commit(ref)) {
      fetched = attempt({}, {"+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"});
      if (fetched) return commit_of(data, ref);
    }
    return std::move(fetched).error();
  }

  Result<std::string> commit_of(const std::string& data, const std::string& name) {
    TRY(auto commit, git_.text({"--git-dir=" + data, "rev-parse", "--verify", name + "^{commit}"}));
    const bool is_name = commit.size() >= 40 && may_be_commit(commit);
    if (!is_name) return failure(Kind::Unavailable, "{} is no commit", name);
    return commit;
  }

  /// Counts what there would be on disk before anything is written: trees may name the same files again and
  /// again. Their number comes first, which git tells without looking at the files themselves.
  Result<std::vector<Submodule>> measure(const std::string& data, const std::string& commit) {
    std::vector<Submodule> submodules;
    CHECK(list(data, commit, {}, [&](const TreeEntry& entry) -> Result<void> {
      if (++entries_ > request_.max_entries)
        return failure(Kind::Exhausted, "the repository has more than {} files", request_.max_entries);
      if (entry.kind != "commit") return {};
      submodules.push_back({std::string(entry.path), std::string(entry.object)});
      if (submodules.size() > most_submodules)
        return failure(Kind::Exhausted, "the repository has more than {} submodules", most_submodules);
      return {};
    }));
    CHECK(list(data, commit, {"-l"}, [this](const TreeEntry& entry) -> Result<void> {
      bytes_ += entry.size;
      if (bytes_ <= request_.max_bytes) return {};
      return failure(Kind::Exhausted, "the repository's files are larger than {} bytes", request_.max_bytes);
    }));
    return submodules;
  }

  Result<void> list(const std::string& data, const std::string& commit,
                    const std::vector<std::string>& options,
                    const std::function<Result<void>(const TreeEntry&)>& take_entry) {
    std::vector<std::string> words = {"--git-dir=" + data, "ls-tree", "-r", "-z", "--full-tree"};
    words.insert(words.end(), options.begin(), options.end());
    words.push_back(commit);
    std::string pending;
    const auto take_record = [&](std::string_view record) -> Result<void> {
      TRY(const auto entry, parse_entry(record));
      return take_entry(entry);
    };
    return git_.run(words, [&](std::string_view bytes) { return take_records(pending, bytes, take_record); });
  }

  /// Where the submodules are, by their paths.
  Result<std::map<std::string, std::string>> repositories_of(const std::string& data,
                                                             const std::string& commit) {
    std::map<std::string, std::map<std::string, std::string>> settings;  // by name: path and url
    std::string pending;
    const auto take_setting = [&settings](std::string_view record) -> Result<void> {
      constexpr std::string_view section = "submodule.";
      const size_t end = record.find('\n');
      const std::string_view key = record.substr(0, end);
      const size_t dot = key.rfind('.');
      if (end == record.npos || !key.starts_with(section) || dot < section.size()) return {};
      const std::string_view name = key.substr(section.size(), dot - section.size());
      settings[std::string(name)][std::string(key.substr(dot + 1))] = record.substr(end + 1);
      return {};
    };
    const auto listing = [&](std::string_view bytes) { return take_records(pending, bytes, take_setting); };
    CHECK(git_.run({"--git-dir=" + data, "config", "--blob", commit + ":.gitmodules", "--list", "-z"},
                   listing));
    std::map<std::string, std::string> repositories;
    for (auto& [name, values] : settings) {
      if (!values["path"].empty() && !values["url"].empty()) repositories[values["path"]] = values["url"];
    }
    return repositories;
  }

  Result<void> take_submodules(const std::string& repository, const std::string& data,
                               const std::string& commit, const std::string& path, int depth,
                               const std::vector<Submodule>& submodules) {
    if (depth == most_depth)
      return failure(Kind::Exhausted, "submodules are nested deeper than {} levels", most_depth);
    if (taken_ + submodules.size() > most_submodules)
      return failure(Kind::Exhausted, "the repository has more than {} submodules", most_submodules);
    auto repositories = repositories_of(data, commit);
    if (!repositories) return std::move(repositories).error().in("reading .gitmodules");
    for (const auto& submodule : submodules) {
      const auto found = repositories->find(submodule.path);
      if (found == repositories->end())
        return failure(Kind::InvalidArgument, "no URL found for submodule {} in .gitmodules", submodule.path);
      TRY(const std::string from, spec::submodule_repository(repository, found->second));
      CHECK(spec::check_git_place({from, submodule.commit}));
      const std::string below = path.empty() ? submodule.path : path + "/" + submodule.path;
      CHECK(check_place(below));
      auto taken = take(from, submodule.commit, below, depth + 1);
      if (!taken) return std::move(taken).error().in("submodule", submodule.path);
    }
    return {};
  }

  /// A submodule's directory is one that its parent's checkout has made, with no link on the way.
  Result<void> check_place(const std::string& path) {
    TRY(const auto root, sys::RootDir::open(top_));
    TRY(const auto resolved, root.resolve(path));
    TRY(const auto status, root.stat(path, sys::Follow::No));
    if (resolved == "/" + path && S_ISDIR(status.st_mode)) return {};
    return failure(Kind::InvalidArgument, "submodule {} is not at a directory of its own", path);
  }

  Result<void> keep_git_directory() {
    const std::string data = database(0);
    CHECK(git_.run({"--git-dir=" + data, "config", "core.bare", "false"}));
    if (::rename(data.c_str(), (top_ + "/.git").c_str()) != 0)
      return Error::from_errno("keep", ".git", errno);
    return {};
  }

  const GitRequest& request_;
  GitProgram git_;
  std::string top_;  ///< of the files
  size_t taken_ = 0;
  uint64_t bytes_ = 0;
  uint64_t entries_ = 0;
};

}  // namespace

Result<GitCheckout> check_out(const GitRequest& request) {
  auto files = Checkout(request).run();
  if (files) return files;
  const std::string& repository = request.place.repository;
  // git repeats the URL that it was given.
  const std::string credentials(spec::credentials_in(repository));
  std::string message = files.error().message();
  for (size_t at = message.find(credentials); !credentials.empty() && at != message.npos;
       at = message.find(credentials, at))
    message.erase(at, credentials.size());
  return Error(files.error().kind(), fmt::format("fetching {}#{}: {}", spec::without_credentials(repository),
                                                 request.place.ref, message));
}

}  // namespace berth::build
