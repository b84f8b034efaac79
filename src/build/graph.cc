// Vertices and the text that identifies an op.
#include "build/graph.h"

#include "base/format.h"

namespace berth::build {
namespace {

/// Appends fields with their lengths, so that no two lists of fields give the same text.
class Description {
 public:
  explicit Description(std::string_view kind) { field(kind); }
  Description& field(std::string_view value) {
    text_ += fmt::format("{}:", value.size());
    text_ += value;
    return *this;
  }
  Description& field(const std::vector<std::string>& values) {
    number(values.size());
    for (const auto& value : values) field(value);
    return *this;
  }
  Description& number(uint64_t value) {
    text_ += fmt::format("#{};", value);
    return *this;
  }
  Description& flag(bool value) { return number(value ? 1 : 0); }
  template <class T>
  Description& optional_number(const std::optional<T>& value) {
    return value ? flag(true).number(*value) : flag(false);
  }
  Description& owner(const std::optional<Owner>& owner) {
    return owner ? flag(true).field(owner->user).field(owner->group) : flag(false);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string describe_op(const ScratchOp&) {
  return Description("scratch").take();
}
std::string describe_op(const ImageOp& op) {
  return Description("image").field(op.chain_id ? op.chain_id->str() : "").take();
}
std::string describe_op(const ContextOp&) {
  return Description("context").take();
}
std::string describe_op(const HttpOp& op) {
  return Description("http")
      .field(op.url)
      .field(op.file_name)
      .field(op.checksum ? op.checksum->str() : "")
      .take();
}
std::string describe_op(const GitOp& op) {
  return Description("git")
      .field(op.place.repository)
      .field(op.place.ref)
      .field(op.place.path)
      .field(op.commit)
      .flag(op.keep_git_directory)
      .take();
}
std::string describe_op(const DocumentOp& op) {
  return Description("document").field(op.file_name).field(op.content).take();
}

std::string describe_op(const CopyOp& op) {
  // Where files come from is told by their content digests, not by the patterns that select them.
  Description out("copy");
  out.field(op.destination).owner(op.owner).field(op.chmod);
  for (const auto& source : op.sources) {
    out.number(static_cast<uint64_t>(source.unpack)).flag(source.keep_owner).optional_number(source.mode);
    out.flag(!source.parents_pattern.empty());
  }
  return out.take();
}

std::string describe_op(const MakeDirectoryOp& op) {
  return Description("mkdir").field(op.path).owner(op.owner).take();
}

std::string describe_op(const RunOp& op) {
  Description out("run");
  out.field(op.args).field(op.env).field(op.cwd).field(op.user).number(static_cast<uint64_t>(op.network));
  out.field(op.extra_hosts).number(op.mounts.size());
  for (const auto& [mount, input, target] : op.mounts) {
    out.number(static_cast<uint64_t>(mount.type)).field(target).field(mount.source).flag(mount.readonly);
    out.field(mount.id).field(mount.env.value_or("")).optional_number(mount.mode);
    out.optional_number(mount.uid).optional_number(mount.gid).number(static_cast<uint64_t>(mount.size));
  }
  out.flag(op.script.has_value());
  if (op.script) out.field(op.script->file_name).field(op.script->content);
  return out.take();
}

}  // namespace

std::optional<Owner> parse_owner(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const size_t colon = text.find(':');
  Owner owner{std::string(text.substr(0, colon))};
  if (colon != std::string_view::npos) owner.group = text.substr(colon + 1);
  return owner;
}

VertexId Graph::add(Vertex vertex) {
  vertices_.push_back(std::move(vertex));
  return static_cast<VertexId>(vertices_.size() - 1);
}

bool is_file_source(const Op& op) {
  return std::holds_alternative<ContextOp>(op) || std::holds_alternative<HttpOp>(op) ||
         std::holds_alternative<GitOp>(op) || std::holds_alternative<DocumentOp>(op);
}

std::string describe(const Op& op) {
  return std::visit([](const auto& alternative) { return describe_op(alternative); }, op);
}

}  // namespace berth::build
