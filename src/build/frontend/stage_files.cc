// COPY and ADD: what is copied from where, decided before anything is looked at.
#include "base/format.h"
#include "build/frontend/history_text.h"
#include "build/frontend/stage_state.h"
#include "build/mode_change.h"
#include "spec/dockerignore.h"
#include "spec/go_quote.h"

namespace berth::build {
namespace {

using spec::CopyInstruction;

bool is_url(std::string_view source) {
  return source.starts_with("http://") || source.starts_with("https://");
}

bool has_wildcards(std::string_view path) {
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\') {
      ++i;
    } else if (path[i] == '*' || path[i] == '?' || path[i] == '[') {
      return true;
    }
  }
  return false;
}

/// Whether the path says by its end that it is a directory.
bool names_directory(std::string_view path) {
  return path.empty() || path == "." || path == ".." || path.ends_with('/') || path.ends_with("/.") ||
         path.ends_with("/..");
}

/// The last element of a URL's path.
std::string url_file_name(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  url.remove_prefix(url.find("://") + 3);
  const size_t slash = url.find('/');
  const std::string name = slash == std::string_view::npos ? "" : std::string(url.substr(url.rfind('/') + 1));
  return name == "." || name == ".." ? "" : name;
}

std::string_view keyword_of(const CopyInstruction& copy) {
  return copy.kind == CopyInstruction::Kind::Add ? "ADD" : "COPY";
}

Result<void> check_checksum(const CopyInstruction& copy, const std::vector<std::string>& sources) {
  if (copy.checksum.empty()) return {};
  if (sources.size() != 1)
    return Error(Kind::InvalidArgument, "checksum can't be specified for multiple sources");
  const bool is_fetched = is_url(sources[0]) || spec::parse_git_place(sources[0]);
  if (!is_fetched) return Error(Kind::InvalidArgument, "checksum requires HTTP(S) or Git sources");
  return {};
}

Error several_sources(std::string_view keyword) {
  return failure(
      Kind::InvalidArgument,
      "When using {} with more than one source file, the destination must be a directory and end with a /",
      keyword);
}

}  // namespace

/// What is gathered while the sources are gone through.
struct StageBuilder::CopyInputs {
  CopyOp op;
  std::vector<VertexId> inputs;
  std::string checksum;
  std::optional<VertexId> tree;  ///< context, stage or image
  bool destination_is_directory = false;

  size_t input(VertexId vertex) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i] == vertex) return i;
    }
    inputs.push_back(vertex);
    return inputs.size() - 1;
  }
};

Result<void> StageBuilder::add_url_source(const spec::CopyInstruction& copy, const std::string& url,
                                          CopyInputs& gathered) {
  if (copy.kind == CopyInstruction::Kind::Copy)
    return Error(Kind::InvalidArgument, "source can't be a URL for COPY");
  HttpOp http{.url = url, .file_name = url_file_name(url)};
  if (http.file_name.empty()) {
    if (gathered.destination_is_directory) {
      return failure(Kind::InvalidArgument, "cannot determine filename from url: {}", url);
    }
    http.file_name = "__unnamed__";
  }
  if (!gathered.checksum.empty()) {
    TRY(http.checksum, Digest::parse(gathered.checksum));
  }
  CopyOp::Source source{.path = "/" + http.file_name, .mode = 0600};
  source.unpack = copy.unpack.value_or(false) ? Unpack::Yes : Unpack::No;
  source.input = gathered.input(
      context_.graph.add({.op = std::move(http), .step = step_, .caching = context_.options.caching}));
  gathered.op.sources.push_back(std::move(source));
  return {};
}

/// The repository's files go to the destination, which is a directory.
Result<void> StageBuilder::add_git_source(const spec::CopyInstruction& copy, spec::GitPlace place,
                                          CopyInputs& gathered) {
  if (copy.kind == CopyInstruction::Kind::Copy)
    return Error(Kind::InvalidArgument, "source can't be a git ref for COPY");
  CHECK(spec::check_git_place(place));
  const bool is_commit = spec::is_git_commit(gathered.checksum);
  if (!gathered.checksum.empty() && !is_commit)
    return failure(Kind::InvalidArgument, "the checksum of a repository is a commit, not {}",
                   gathered.checksum);
  GitOp git{.place = std::move(place),
            .commit = gathered.checksum,
            .keep_git_directory = copy.keep_git_dir.value_or(false)};
  CopyOp::Source source{.path = "/"};
  source.input = gathered.input(
      context_.graph.add({.op = std::move(git), .step = step_, .caching = context_.options.caching}));
  gathered.op.sources.push_back(std::move(source));
  return {};
}

Result<void> StageBuilder::add_local_source(const spec::CopyInstruction& copy, std::string path,
                                            CopyInputs& gathered) {
  if (!gathered.tree && copy.from.empty()) gathered.tree = context_.context_vertex();
  if (!gathered.tree) {
    TRY(gathered.tree, context_.source(copy.from));
  }
  CopyOp::Source source{.input = gathered.input(*gathered.tree), .keep_owner = !copy.from.empty()};
  if (copy.parents) {
    const size_t pivot = path.find("/./");
    source.parents_pattern =
        spec::clean_path("/" + (pivot == std::string::npos ? path : path.substr(pivot + 3))).substr(1);
    path = pivot == std::string::npos ? "/" : path.substr(0, pivot);
    if (source.parents_pattern.empty()) source.parents_pattern = "**";
  }
  source.path = spec::clean_path("/" + path);
  source.wildcards = has_wildcards(source.path);
  const bool unpacks = copy.unpack.value_or(copy.kind == CopyInstruction::Kind::Add);
  source.unpack = unpacks ? Unpack::LocalArchives : Unpack::No;
  gathered.op.sources.push_back(std::move(source));
  return {};
}

Result<void> StageBuilder::add_document(const spec::Heredoc& document, CopyInputs& gathered) {
  DocumentOp op{document.name, document.file_content()};
  if (op.file_name.empty() || op.file_name.find('/') != std::string::npos || op.file_name == "." ||
      op.file_name == "..") {
    return failure(Kind::InvalidArgument, "invalid heredoc name: {}", spec::go_quote(document.name));
  }
  if (document.expand) {
    const spec::VariableLookup lookup = [this](std::string_view name) { return state_.lookup(name); };
    TRY(op.content, spec::expand_word(op.content, lookup, {.quotes = spec::Quotes::Literal}));
  }
  CopyOp::Source source{.path = "/" + op.file_name};
  source.input = gathered.input(context_.graph.add({.op = std::move(op)}));
  gathered.op.sources.push_back(std::move(source));
  return {};
}

Result<std::optional<VertexId>> StageBuilder::apply(const spec::CopyInstruction& copy) {
  const std::string_view keyword = keyword_of(copy);
  CopyInputs gathered;
  std::vector<std::string> sources;
  for (const auto& source : copy.sources) {
    TRY(auto expanded, expand(source));
    sources.push_back(std::move(expanded));
  }
  TRY(const auto destination, expand(copy.destination));
  gathered.destination_is_directory = names_directory(destination);
  gathered.op.destination = absolute(destination);
  if (gathered.destination_is_directory && gathered.op.destination != "/") gathered.op.destination += "/";
  TRY(const auto chown, expand(copy.chown));
  gathered.op.owner = parse_owner(chown);
  TRY(gathered.op.chmod, expand(copy.chmod));
  if (!gathered.op.chmod.empty()) CHECK(ModeChange::parse(gathered.op.chmod));
  TRY(gathered.checksum, expand(copy.checksum));
  CHECK(check_checksum(copy, sources));
  gathered.op.link = copy.link;
  for (const auto& exclude : copy.excludes) gathered.op.excludes.push_back(spec::clean_path(exclude));
  CHECK(spec::PatternSet::create(gathered.op.excludes));
  if (sources.size() + copy.documents.size() > 1 && !gathered.destination_is_directory &&
      destination != "/") {
    return several_sources(keyword);
  }

  std::string text(keyword);
  if (copy.parents) text += " --parents";
  if (!chown.empty()) text += " --chown=" + chown;
  if (!gathered.op.chmod.empty()) text += " --chmod=" + gathered.op.chmod;
  for (const auto& source : sources) {
    text += " " + source;
    if (auto place = spec::parse_git_place(source)) {
      CHECK(add_git_source(copy, std::move(*place), gathered));
    } else if (is_url(source)) {
      CHECK(add_url_source(copy, source, gathered));
    } else {
      CHECK(add_local_source(copy, source, gathered));
    }
  }
  for (const auto& document : copy.documents) {
    text += " <<" + document.name;
    CHECK(add_document(document, gathered));
  }
  const VertexId vertex = add_layer(std::move(gathered.op), std::move(gathered.inputs));
  remember_copy(copy, std::move(text), chown, destination, vertex);
  return vertex;
}

/// The classic builder tells what was taken by its content, so that the same from elsewhere is the same
/// image.
void StageBuilder::remember_copy(const spec::CopyInstruction& copy, std::string text,
                                 const std::string& chown, const std::string& destination, VertexId vertex) {
  if (!is_classic()) return remember(text + " " + destination + " # buildkit", vertex);
  const std::string owner = chown.empty() ? "" : "--chown=" + chown + " ";
  const std::string instruction = std::string(keyword_of(copy)) + " " + owner;
  state_.history.push_back(
      {.created_by = classic_text(state_.config.config.shell, instruction, NopSpace::One),
       .vertex = vertex,
       .step = step_,
       .wording = Wording::Classic,
       .behind_sources = " in " + destination + " "});
}

}  // namespace berth::build
