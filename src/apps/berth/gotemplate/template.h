// Template: Go's text/template as far as --format needs it. Parsed once, executed per object. Actions:
// fields, variables, pipelines, if/else if/else, range (with else, break, continue), with, comments, trim
// markers; the functions of text/template and docker's json, split, join, title, lower, upper, pad, truncate.
// Not there: define, template, block (nothing to define for a one-line format). Messages are worded as Go's.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "apps/berth/gotemplate/value.h"
#include "base/result.h"

namespace berth::cli::gotemplate {

struct Node;

/// What a key does that a Map does not have.
enum class MissingKey {
  NoValue,  ///< the result is Missing
  Error,    ///< the execution fails: `map has no entry for key "x"`
};

/// How json, split, join, title, lower, upper and truncate behave.
enum class FunctionSet {
  Values,  ///< as their names say
  Header,  ///< they return their first argument: the template renders a table's header
};

struct Execution {
  MissingKey missing_key = MissingKey::NoValue;
  FunctionSet functions = FunctionSet::Values;
};

class Template {
 public:
  /// The error is Go's: `template: :1: unclosed action`. `name` stands before the first colon.
  static Result<Template> parse(std::string_view text, std::string_view name = {});

  /// Appends the result to `out`; after an error `out` holds what was written until then.
  Result<void> execute(std::string& out, const Value& data, const Execution& execution = {}) const;
  /// True when a field of this name occurs anywhere.
  bool mentions(std::string_view field) const;

 private:
  Template() = default;
  std::string name_;
  std::string source_;
  std::shared_ptr<const Node> root_;
};

}  // namespace berth::cli::gotemplate
