// Documents as JSON or by a template.
#include "apps/berth/commands/inspecting.h"

#include "apps/berth/gotemplate/document.h"
#include "apps/berth/gotemplate/template.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using gotemplate::MissingKey;
using gotemplate::Template;
using gotemplate::Typing;

/// Copies JSON character by character, with other white space.
class Reformatter {
 public:
  explicit Reformatter(bool indent) : indent_(indent) {}

  std::string run(std::string_view json) {
    for (size_t i = 0; i < json.size(); ++i) {
      char c = json[i];
      if (in_string_) {
        out_ += c;
        if (c == '\\' && i + 1 < json.size()) out_ += json[++i];
        if (c == '"') in_string_ = false;
        continue;
      }
      if (c == ' ' || c == '\n' || c == '\t' || c == '\r') continue;
      mark(c);
    }
    return std::move(out_);
  }

 private:
  void mark(char c) {
    bool closes = c == '}' || c == ']';
    if (empty_ && !closes) new_line();
    switch (c) {
      case '{':
      case '[':
        out_ += c;
        ++depth_;
        empty_ = true;
        return;
      case '}':
      case ']':
        if (depth_ > 0) --depth_;
        if (!empty_) new_line();
        out_ += c;
        break;
      case ',':
        out_ += c;
        new_line();
        break;
      case ':':
        out_ += indent_ ? ": " : ":";
        break;
      default:
        in_string_ = c == '"';
        out_ += c;
    }
    empty_ = false;
  }
  void new_line() {
    empty_ = false;
    if (!indent_) return;
    out_ += '\n';
    out_.append(depth_ * 4, ' ');
  }

  bool indent_;
  bool in_string_ = false;
  bool empty_ = false;  ///< an object or list has been opened and holds nothing yet
  size_t depth_ = 0;
  std::string out_;
};

Result<std::string> reformat(std::string_view json, bool indent) {
  if (!Json::accept(json)) return failure(Kind::InvalidArgument, "the engine's answer is not JSON");
  return Reformatter(indent).run(json);
}

/// One template over several documents, first as the Go client's types, then as plain JSON.
class TemplatePrinter {
 public:
  static Outcome<TemplatePrinter> create(const std::string& format) {
    auto parsed = Template::parse(format);
    if (!parsed)
      return Failure::client(fmt::format("template parsing error: {}", parsed.error().message()), 64);
    return TemplatePrinter(std::move(*parsed));
  }

  Outcome<void> add(std::string_view json) {
    std::string text;
    TRY(auto typed, gotemplate::parse_document(json, Typing::Typed));
    if (!template_.execute(text, typed)) {
      text.clear();
      TRY(auto untyped, gotemplate::parse_document(json, Typing::Untyped));
      auto done = template_.execute(text, untyped, {.missing_key = MissingKey::Error});
      if (!done) return refuse("template parsing error: {}", done.error().message());
    }
    text_ += text + "\n";
    return {};
  }

  std::string text() { return text_.empty() ? "\n" : std::move(text_); }

 private:
  explicit TemplatePrinter(Template parsed) : template_(std::move(parsed)) {}
  Template template_;
  std::string text_;
};

Outcome<int> report_all(Context& context, const std::vector<Failure>& failures) {
  for (const Failure& failure : failures) context.report(failure);
  return failures.empty() ? 0 : 1;
}

Outcome<int> print_json(Context& context, const std::vector<std::string>& names, bool indent,
                        const Fetch& fetch) {
  std::string list;
  std::vector<Failure> failures;
  for (const std::string& name : names) {
    auto document = fetch(name);
    if (document) {
      list += (list.empty() ? "[" : ",") + *document;
    } else {
      failures.push_back(document.error());
    }
  }
  if (list.empty()) {
    context.out.line("[]");
  } else {
    TRY(std::string text, reformat(list + "]", indent));
    context.out.line(text);
  }
  return report_all(context, failures);
}

}  // namespace

Result<std::string> indent_json(std::string_view json) {
  return reformat(json, true);
}
Result<std::string> compact_json(std::string_view json) {
  return reformat(json, false);
}

Outcome<int> inspect_each(Context& context, const std::vector<std::string>& names, const std::string& format,
                          const Fetch& fetch) {
  if (format.empty() || format == "json") return print_json(context, names, format.empty(), fetch);
  TRY(TemplatePrinter printer, TemplatePrinter::create(format));
  std::vector<Failure> failures;
  for (const std::string& name : names) {
    auto document = fetch(name);
    if (!document) {
      failures.push_back(document.error());
    } else if (auto added = printer.add(*document); !added) {
      failures.push_back(added.error());
    }
  }
  context.out.write(printer.text());
  return report_all(context, failures);
}

}  // namespace berth::cli::commands
