// Graph: what a build has to do, as vertices that the solver evaluates. An Op says what a vertex does, in
// values alone: no paths of this host, no time. Edges point to vertices that were added before, so there is
// no cycle.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "spec/container.h"
#include "spec/dockerfile_mount.h"
#include "spec/git_place.h"
#include "spec/image.h"

namespace berth::build {

using VertexId = uint32_t;

/// An empty root filesystem: FROM scratch.
struct ScratchOp {};

/// A root filesystem of an image that is in the store.
struct ImageOp {
  std::string reference;
  Digest image;
  std::optional<Digest> chain_id;  ///< none: an image without layers
};

/// The build context: a tree of files.
struct ContextOp {};

/// A download: a tree with one file.
struct HttpOp {
  std::string url;
  std::string file_name;
  std::optional<Digest> checksum = {};
};

/// The files of a git repository: a tree.
struct GitOp {
  spec::GitPlace place;
  std::string commit = {};  ///< that it must be; empty: any
  bool keep_git_directory = false;
};

/// A heredoc's file: a tree with one file.
struct DocumentOp {
  std::string file_name;
  std::string content;
};

/// Owner as --chown and USER give it; names come from the root filesystem's passwd and group.
struct Owner {
  std::string user = {};   ///< name or number; empty: keep
  std::string group = {};  ///< name or number; empty: the user's own
  bool operator==(const Owner&) const = default;
};
/// "user[:group]"; empty text is no owner.
std::optional<Owner> parse_owner(std::string_view text);

enum class Unpack { No, LocalArchives, Yes };

/// COPY and ADD: files of the inputs into the base's root filesystem.
struct CopyOp {
  struct Source {
    size_t input = 0;                  ///< index into Vertex::inputs
    std::string path = {};             ///< "/src/*.c"; the tree's only file for downloads and documents
    std::string parents_pattern = {};  ///< --parents: what to take below `path`, kept with its directories
    bool wildcards = false;            ///< `path` is a pattern
    bool keep_owner = false;           ///< from a stage or image, not the context
    Unpack unpack = Unpack::No;
    std::optional<uint32_t> mode = {};  ///< a download's 0600
  };
  std::vector<Source> sources;
  std::string destination;  ///< absolute; ends in '/' when it must be a directory
  std::optional<Owner> owner = {};
  std::string chmod = {};  ///< octal or symbolic
  std::vector<std::string> excludes = {};
  bool link = false;
};

/// WORKDIR: the directory, with those above it.
struct MakeDirectoryOp {
  std::string path;
  std::optional<Owner> owner = {};
};

/// How a RUN sees the network.
enum class StepNetwork { Bridge, None, Host };

struct RunMountOp {
  spec::RunMount mount;
  std::optional<size_t> input =
      {};                   ///< of a bind mount (context, stage, image) or of a cache's initial content
  std::string target = {};  ///< absolute
};

struct RunOp {
  std::vector<std::string> args;
  std::vector<std::string> env;        ///< "NAME=value": what counts for the cache
  std::vector<std::string> quiet_env;  ///< proxies that were not declared: seen by the step, not by the cache
  std::string cwd = "/";
  std::string user = {};
  spec::Platform platform = {};  ///< of the stage; says why a program of another machine does not start
  StepNetwork network = StepNetwork::Bridge;
  std::vector<RunMountOp> mounts = {};
  std::vector<std::string> extra_hosts = {};
  /// "#!" heredoc: its file is put at /dev/pipes/<name>.
  std::optional<DocumentOp> script = {};
};

using Op =
    std::variant<ScratchOp, ImageOp, ContextOp, HttpOp, GitOp, DocumentOp, CopyOp, MakeDirectoryOp, RunOp>;

enum class Caching { Normal, Ignore };

struct Vertex {
  Op op;
  std::optional<VertexId> base = {};  ///< whose root filesystem it changes
  std::vector<VertexId> inputs = {};  ///< what it reads besides
  uint32_t step = 0;                  ///< for progress; 0: none
  Caching caching = Caching::Normal;
};

class Graph {
 public:
  VertexId add(Vertex vertex);
  const Vertex& at(VertexId id) const { return vertices_.at(id); }
  size_t size() const { return vertices_.size(); }

 private:
  std::vector<Vertex> vertices_;
};

/// Gives files to COPY and to bind mounts, rather than a root filesystem to build upon.
bool is_file_source(const Op& op);
/// The part of the cache key that the op itself makes: every field that the result depends on, unambiguous.
std::string describe(const Op& op);

}  // namespace berth::build
