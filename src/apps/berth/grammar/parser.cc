// Reading a command line by pflag's rules.
#include <charconv>

#include "apps/berth/grammar/invocation.h"

namespace berth::cli::grammar {
namespace {

const Flag* by_name(const Command& command, std::string_view name) {
  for (Flags flags : {command.flags, command.more_flags}) {
    for (const Flag& flag : flags) {
      if (flag.name == name) return &flag;
    }
  }
  return nullptr;
}

const Flag* by_letter(const Command& command, char letter) {
  for (Flags flags : {command.flags, command.more_flags}) {
    for (const Flag& flag : flags) {
      if (flag.letter == letter) return &flag;
    }
  }
  return nullptr;
}

std::string spelled(const Flag& flag) {
  if (flag.letter != 0) return fmt::format("-{}, --{}", flag.letter, flag.name);
  return fmt::format("--{}", flag.name);
}

}  // namespace

const Invocation::Given* Invocation::find(std::string_view name) const {
  for (const Given& given : given_) {
    if (given.flag->name == name) return &given;
  }
  return nullptr;
}

const Flag* Invocation::declared(std::string_view name) const {
  return by_name(*command_, name);
}

bool Invocation::on(std::string_view name) const {
  return text(name) == "true";
}

std::string Invocation::text(std::string_view name) const {
  if (const Given* given = find(name)) return given->values.back();
  const Flag* flag = declared(name);
  return flag == nullptr ? std::string() : std::string(flag->fallback);
}

std::vector<std::string> Invocation::list(std::string_view name) const {
  const Given* given = find(name);
  return given == nullptr ? std::vector<std::string>() : given->values;
}

int64_t Invocation::number(std::string_view name) const {
  std::string value = text(name);
  int64_t number = 0;
  std::from_chars(value.data(), value.data() + value.size(), number);
  return number;
}

void Invocation::add(const Flag& flag, std::string value) {
  Given* given = nullptr;
  for (Given& known : given_) {
    if (known.flag->name == flag.name) given = &known;
  }
  if (given == nullptr) given = &given_.emplace_back(Given{&flag, {}});
  if (!repeatable(flag.type)) given->values.clear();
  if (flag.type != Type::Strings) {
    given->values.push_back(std::move(value));
    return;
  }
  for (std::string_view rest = value;;) {
    size_t comma = rest.find(',');
    given->values.emplace_back(rest.substr(0, comma));
    if (comma == std::string_view::npos) return;
    rest.remove_prefix(comma + 1);
  }
}

std::optional<std::string_view> Parser::next() {
  if (rest_.empty()) return std::nullopt;
  std::string_view word = rest_.front();
  rest_ = rest_.subspan(1);
  return word;
}

Result<void> Parser::set(const Flag& flag, std::string_view value) {
  auto accepted = accept(flag, value);
  if (!accepted) {
    return failure(Kind::InvalidArgument, "invalid argument \"{}\" for \"{}\" flag: {}", value, spelled(flag),
                   accepted.error().message());
  }
  invocation_.add(flag, std::move(*accepted));
  return {};
}

Result<void> Parser::long_flag(std::string_view word) {
  std::string_view body = word.substr(2);
  if (body.empty() || body[0] == '-' || body[0] == '=') {
    return failure(Kind::InvalidArgument, "bad flag syntax: {}", word);
  }
  size_t equals = body.find('=');
  std::string_view name = body.substr(0, equals);
  // Some commands list it among their flags; it means the same everywhere.
  if (name == "help") {
    help_ = true;
    return {};
  }
  const Flag* flag = by_name(invocation_.command(), name);
  if (flag == nullptr) {
    return failure(Kind::InvalidArgument, "unknown flag: --{}", name);
  }
  if (equals != std::string_view::npos) return set(*flag, body.substr(equals + 1));
  if (flag->type == Type::Bool) return set(*flag, "true");
  auto value = next();
  if (!value) return failure(Kind::InvalidArgument, "flag needs an argument: --{}", name);
  return set(*flag, *value);
}

Result<void> Parser::short_flags(std::string_view word) {
  for (std::string_view letters = word.substr(1); !letters.empty();) {
    const Flag* flag = by_letter(invocation_.command(), letters[0]);
    if (flag == nullptr) {
      if (letters[0] == 'h') {
        help_ = true;
        return {};
      }
      return failure(Kind::InvalidArgument, "unknown shorthand flag: '{}' in -{}", letters[0], letters);
    }
    if (letters.size() > 2 && letters[1] == '=') return set(*flag, letters.substr(2));
    if (flag->type == Type::Bool) {
      CHECK(set(*flag, "true"));
      letters.remove_prefix(1);
      continue;
    }
    if (letters.size() > 1) return set(*flag, letters.substr(1));
    auto value = next();
    if (!value) {
      return failure(Kind::InvalidArgument, "flag needs an argument: '{}' in -{}", letters[0], letters);
    }
    return set(*flag, *value);
  }
  return {};
}

Result<Parser::Verdict> Parser::parse(std::span<const char* const> words) {
  rest_ = words;
  bool flags_ended = false;
  while (!rest_.empty()) {
    size_t position = words.size() - rest_.size();
    std::string_view word = *next();
    if (flags_ended || word.size() < 2 || word[0] != '-') {
      if (invocation_.command().placement == FlagPlacement::BeforeArguments) {
        if (!flags_ended) consumed_ = position;
        flags_ended = true;
      }
      invocation_.add_argument(std::string(word));
      continue;
    }
    if (word == "--") {
      flags_ended = true;
      consumed_ = position + 1;
      continue;
    }
    if (word[1] == '-') {
      CHECK(long_flag(word));
    } else {
      CHECK(short_flags(word));
    }
    if (help_) return Verdict::Help;
  }
  if (!flags_ended) consumed_ = words.size();
  return Verdict::Run;
}

std::optional<std::string> arity_complaint(const Invocation& invocation, std::string_view program) {
  auto [min, max] = invocation.command().arity;
  size_t count = invocation.arguments().size();
  if (count >= min && count <= max) return std::nullopt;
  std::string name = fmt::format("'{} {}'", program, invocation.path());
  auto plural = [](size_t number) { return number == 1 ? "argument" : "arguments"; };
  if (max == 0) return fmt::format("{} accepts no arguments", name);
  if (max == Arity::any) return fmt::format("{} requires at least {} {}", name, min, plural(min));
  if (min == max) return fmt::format("{} requires {} {}", name, min, plural(min));
  if (min == 0) return fmt::format("{} requires at most {} {}", name, max, plural(max));
  return fmt::format("{} requires at least {} and at most {} {}", name, min, max, plural(max));
}

const Entry* find(Tree tree, std::string_view path) {
  for (const Entry& entry : tree) {
    if (entry.path == path) return &entry;
  }
  return nullptr;
}

}  // namespace berth::cli::grammar
