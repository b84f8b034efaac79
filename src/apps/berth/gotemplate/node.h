// The syntax tree of a template.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apps/berth/gotemplate/value.h"

namespace berth::cli::gotemplate {

struct Node {
  enum class Kind {
    Sequence,  ///< children one after the other
    Text,      ///< literal text
    Action,    ///< pipe, printed unless it declares
    If,        ///< pipe; children[0] then, children[1] else (may be null)
    With,      ///< the same with a new dot
    Range,     ///< the same for each element
    Break,
    Continue,
    Pipeline,  ///< commands in children; variables in names
    Command,   ///< first child applied to the others
    Field,     ///< .A.B in names
    Variable,  ///< $x.A in names, names[0] with the dollar
    Chain,     ///< children[0] with the fields in names
    Function,  ///< names[0]
    Dot,
    NilLiteral,
    Literal,  ///< value
  };

  Kind kind = Kind::Sequence;
  size_t position = 0;  ///< byte offset in the source, for messages
  std::string text;     ///< Text: the text; others: the source of the node as messages show it
  std::vector<std::string> names;
  std::vector<std::shared_ptr<Node>> children;
  std::shared_ptr<Node> pipe;
  Value value;
  bool assigns = false;  ///< Pipeline: "=" instead of ":="
};

using NodePtr = std::shared_ptr<Node>;

}  // namespace berth::cli::gotemplate
