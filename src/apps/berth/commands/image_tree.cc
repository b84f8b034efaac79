// image tree: images on the layers that they share.
#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "apps/berth/commands/image_commands.h"
#include "apps/berth/context.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using grammar::Command;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using output::human_size;

struct Layer {
  std::string id;  ///< chain id
  std::string diff_id;
  int64_t size = 0;
  std::vector<size_t> children;
  std::vector<size_t> images;
};

std::string size_text(int64_t bytes) {
  return human_size(static_cast<double>(bytes), 3);
}

const Json& list_of(const Json& answer, std::string_view key) {
  static const Json none = Json::array();
  const Json* found = json_member(answer, key);
  return found != nullptr && found->is_array() ? *found : none;
}

class Tree {
 public:
  Outcome<void> read(const Json& answer) {
    for (const Json& json : list_of(answer, "Layers")) {
      size_t index = layers_.size();
      Layer layer;
      TRY(layer.id, json_string(json, "ChainId"));
      TRY(layer.diff_id, json_string(json, "DiffId"));
      TRY(layer.size, json_int(json, "Size"));
      TRY(std::string parent, json_string(json, "Parent"));
      auto below = by_id_.find(parent);
      (below == by_id_.end() ? roots_ : layers_[below->second].children).push_back(index);
      by_id_.emplace(layer.id, index);
      layers_.push_back(std::move(layer));
    }
    for (const Json& json : list_of(answer, "Images")) {
      TRY(std::string chain, json_string(json, "ChainId"));
      auto top = by_id_.find(chain);
      (top == by_id_.end() ? bare_ : layers_[top->second].images).push_back(images_.size());
      TRY(std::string line, image_line(json));
      images_.push_back(std::move(line));
    }
    return {};
  }

  void print(output::Stream& out) const {
    // Without recursion: a tree is as deep as an image has layers, and an engine may be anybody's.
    struct Step {
      size_t layer;
      std::string lead;   ///< before the layer's own line
      std::string below;  ///< before the lines beneath it
    };
    std::vector<Step> open;
    for (auto root = roots_.rbegin(); root != roots_.rend(); ++root) open.push_back({*root, "", ""});
    while (!open.empty()) {
      Step step = std::move(open.back());
      open.pop_back();
      size_t count = 1;
      int64_t bytes = layers_[step.layer].size;
      size_t top = step.layer;
      // Layers that only lead to the next one share a line.
      while (layers_[top].images.empty() && layers_[top].children.size() == 1) {
        top = layers_[top].children[0];
        bytes += layers_[top].size;
        ++count;
      }
      const Layer& layer = layers_[top];
      std::string what = count == 1 ? "layer" : fmt::format("{} layers", count);
      out.line(output::printable(
          fmt::format("{}{} {}  {}", step.lead, what, output::short_id(layer.diff_id), size_text(bytes))));
      size_t left = layer.images.size() + layer.children.size();
      for (size_t image : layer.images) {
        out.line(step.below + (--left == 0 ? "└─ " : "├─ ") + images_[image]);
      }
      for (size_t i = layer.children.size(); i-- > 0;) {
        bool last = i + 1 == layer.children.size();
        open.push_back(
            {layer.children[i], step.below + (last ? "└─ " : "├─ "), step.below + (last ? "   " : "│  ")});
      }
    }
    for (size_t image : bare_) out.line(images_[image]);
  }

 private:
  static Outcome<std::string> image_line(const Json& json) {
    TRY(std::vector<std::string> names, json_strings(json, "Names"));
    TRY(std::string id, json_string(json, "Id"));
    TRY(int64_t size, json_int(json, "Size"));
    TRY(int64_t frees, json_int(json, "Frees"));
    TRY(int64_t containers, json_int(json, "Containers"));
    TRY(int64_t children, json_int(json, "Children"));
    std::string line = names.empty() ? "<none>" : fmt::format("{}", fmt::join(names, ", "));
    line += fmt::format("  {}  {}, frees {}", output::short_id(id), size_text(size), size_text(frees));
    if (containers > 0)
      line += fmt::format(", in use by {} container{}", containers, containers == 1 ? "" : "s");
    if (children > 0) line += fmt::format(", {} image{} built on it", children, children == 1 ? "" : "s");
    return output::printable(line);
  }

  std::vector<Layer> layers_;
  std::vector<std::string> images_;  ///< their lines
  std::vector<size_t> roots_;
  std::vector<size_t> bare_;  ///< images without layers
  std::map<std::string, size_t> by_id_;
};

Outcome<int> tree(Context& context, const Invocation& invocation) {
  TRY(auto reply, context.engine().call({.path = "/berth/images/tree"}));
  if (invocation.text("format") == "json") {
    context.out.line(reply.body);
    return 0;
  }
  if (invocation.given("format"))
    return refuse("--format \"{}\" is not known: expected json", invocation.text("format"));
  TRY(Json answer, parse_json(reply.body, {.max_bytes = 256u << 20}));
  Tree tree;
  CHECK(tree.read(answer));
  tree.print(context.out);
  return 0;
}

constexpr std::array tree_flags{
    Flag{.name = "format", .type = Type::String, .help = "'json': layers and images as one JSON object"},
};

}  // namespace

const Command image_tree_command{
    .usage = "[OPTIONS]",
    .summary = "Show images as a tree of the layers that they share",
    .flags = tree_flags,
    .action = tree,
    .description =
        "Show images on the layers that they share, with sizes and with what the removal of each image\n"
        "would free: what no other image, container or repository of the registry needs."};

}  // namespace berth::cli::commands
