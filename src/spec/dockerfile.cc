// The line structure of a Dockerfile: directives, comments, continuation lines, heredoc bodies, and the order
// of instructions into stages.
#include "spec/dockerfile.h"

#include <algorithm>
#include <set>

#include "base/format.h"
#include "spec/dockerfile_lexer.h"

namespace berth::spec {
namespace {

using namespace dockerfile;

std::string_view without_line_end(std::string_view line) {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  return line;
}

std::string_view without_leading_space(std::string_view line) {
  while (!line.empty() && (line.front() == ' ' || (line.front() >= '\t' && line.front() <= '\r')))
    line.remove_prefix(1);
  return line;
}

bool is_comment(std::string_view line) {
  return without_leading_space(line).starts_with('#');
}

/// "# key = value" at the top of the file; the first line that is none ends them.
class DirectiveReader {
 public:
  Result<void> read(std::string_view line, Dockerfile& file) {
    if (done_) return {};
    done_ = true;
    if (!line.starts_with('#')) return {};
    line = trim(line.substr(1));
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) return {};
    const std::string key = lower(trim(line.substr(0, equals)));
    const std::string value(trim(line.substr(equals + 1)));
    const bool is_known = key == "syntax" || key == "escape" || key == "check";
    if (!is_known || value.empty()) return {};
    if (!seen_.insert(key).second) {
      return failure(Kind::InvalidArgument, "only one {} parser directive can be used", key);
    }
    done_ = false;
    if (key == "syntax") file.syntax = value.substr(0, value.find(' '));
    if (key == "check") file.check = value;
    if (key != "escape") return {};
    if (value != "\\" && value != "`") {
      return failure(Kind::InvalidArgument, "invalid escape token '{}' does not match ` or \\", value);
    }
    file.escape = value[0];
    return {};
  }

 private:
  bool done_ = false;
  std::set<std::string> seen_;
};

struct LogicalLine {
  std::string text;  ///< continuation lines joined
  std::vector<Heredoc> heredocs;
  LineRange lines;
};

class LineReader {
 public:
  LineReader(std::string_view text, const DockerfileLimits& limits, Dockerfile& file)
      : text_(text), limits_(limits), file_(file) {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
  }

  LineRange here() const { return {number_, number_}; }

  /// The next line that is not blank and no comment; none at the end.
  Result<std::optional<LogicalLine>> next() {
    while (true) {
      TRY(auto physical, next_physical());
      if (!physical) return std::optional<LogicalLine>();
      const std::string_view line = without_leading_space(without_line_end(*physical));
      CHECK(directives_.read(line, file_));
      if (line.empty() || line.starts_with('#')) continue;
      LogicalLine logical{.lines = here()};
      CHECK(join_continuations(line, logical));
      CHECK(read_heredocs(logical));
      logical.lines.last = number_;
      return std::optional<LogicalLine>(std::move(logical));
    }
  }

 private:
  Result<std::optional<std::string_view>> next_physical() {
    if (text_.empty()) return std::optional<std::string_view>();
    ++number_;
    const size_t end = text_.find('\n');
    const std::string_view line = text_.substr(0, end == std::string_view::npos ? end : end + 1);
    if (line.size() > limits_.max_line) {
      return failure(Kind::InvalidArgument, "dockerfile line greater than max allowed size of {}",
                     limits_.max_line);
    }
    text_.remove_prefix(line.size());
    return std::optional<std::string_view>(line);
  }

  /// Takes the escape at the end off; false when there is none. Two escapes in a row are no continuation.
  bool take_continuation(std::string_view& line) const {
    std::string_view body = line;
    while (!body.empty() && (body.back() == ' ' || body.back() == '\t')) body.remove_suffix(1);
    if (body.empty() || body.back() != file_.escape) return false;
    if (body.size() > 1 && body[body.size() - 2] == file_.escape) return false;
    body.remove_suffix(1);
    line = body;
    return true;
  }

  Result<void> join_continuations(std::string_view line, LogicalLine& logical) {
    bool continues = take_continuation(line);
    logical.text = line;
    bool had_empty_line = false;
    while (continues) {
      TRY(auto physical, next_physical());
      if (!physical) break;
      std::string_view more = without_line_end(*physical);
      if (is_comment(more)) continue;
      if (without_leading_space(more).empty()) {
        had_empty_line = true;
        continue;
      }
      continues = take_continuation(more);
      logical.text += more;
    }
    if (had_empty_line) {
      file_.warnings.push_back(
          {{logical.lines.first, number_}, "Empty continuation line found in: " + logical.text});
    }
    return {};
  }

  Result<void> read_heredocs(LogicalLine& logical) {
    if (logical.text.find("<<") == std::string::npos) return {};
    TRY(const bool takes, takes_heredocs(split_command(logical.text, file_.escape), file_.escape));
    if (!takes) return {};
    logical.heredocs = find_heredocs(logical.text);
    if (logical.heredocs.size() > limits_.max_heredocs) {
      return failure(Kind::InvalidArgument, "more than {} heredocs in one instruction", limits_.max_heredocs);
    }
    for (auto& heredoc : logical.heredocs) CHECK(read_heredoc(heredoc));
    return {};
  }

  Result<void> read_heredoc(Heredoc& heredoc) {
    while (true) {
      TRY(auto physical, next_physical());
      if (!physical) return Error(Kind::InvalidArgument, "unterminated heredoc");
      std::string_view candidate = without_line_end(*physical);
      while (heredoc.strip_tabs && candidate.starts_with('\t')) candidate.remove_prefix(1);
      if (candidate == heredoc.name) return {};
      heredoc.content += *physical;
    }
  }

  std::string_view text_;
  const DockerfileLimits& limits_;
  Dockerfile& file_;
  DirectiveReader directives_;
  uint32_t number_ = 0;
};

Result<Instruction> to_instruction(const LogicalLine& line, char escape) {
  const LexedLine lexed{line.text, split_command(line.text, escape), line.heredocs};
  TRY(auto body, parse_body(lexed, escape));
  return Instruction{lexed.parts.keyword, std::string(trim(line.text)), line.lines, std::move(body)};
}

std::unexpected<DockerfileProblem> problem_at(LineRange lines, const Error& error) {
  return std::unexpected(DockerfileProblem{
      lines, fmt::format("dockerfile parse error on line {}: {}", lines.first, error.message())});
}

/// Puts an instruction where it belongs: before the first FROM, a new stage, or the current stage.
Result<void> place(Instruction instruction, Dockerfile& file) {
  if (auto* from = std::get_if<FromInstruction>(&instruction.body)) {
    file.stages.push_back({std::move(*from), std::move(instruction.source), instruction.lines, {}});
    return {};
  }
  if (!file.stages.empty()) {
    file.stages.back().instructions.push_back(std::move(instruction));
    return {};
  }
  if (!std::holds_alternative<ArgInstruction>(instruction.body)) {
    return Error(Kind::InvalidArgument, "no build stage in current context");
  }
  file.global_arguments.push_back(std::move(instruction));
  return {};
}

}  // namespace

std::string Heredoc::file_content() const {
  if (!strip_tabs) return content;
  std::string out;
  bool at_line_start = true;
  for (const char c : content) {
    if (at_line_start && c == '\t') continue;
    out.push_back(c);
    at_line_start = c == '\n';
  }
  return out;
}

DockerfileResult<Dockerfile> parse_dockerfile(std::string_view text, const DockerfileLimits& limits) {
  Dockerfile file;
  if (text.size() > limits.max_bytes) {
    return std::unexpected(
        DockerfileProblem{{}, fmt::format("the Dockerfile is larger than {} bytes", limits.max_bytes)});
  }
  LineReader reader(text, limits, file);
  size_t count = 0;
  while (true) {
    auto line = reader.next();
    if (!line) return problem_at(reader.here(), line.error());
    if (!*line) break;
    if (++count > limits.max_instructions) {
      return std::unexpected(DockerfileProblem{
          (*line)->lines,
          fmt::format("the Dockerfile has more than {} instructions", limits.max_instructions)});
    }
    auto instruction = to_instruction(**line, file.escape);
    if (!instruction) return problem_at((*line)->lines, instruction.error());
    auto placed = place(std::move(*instruction), file);
    if (!placed) return problem_at((*line)->lines, placed.error());
  }
  if (count == 0) return std::unexpected(DockerfileProblem{{}, "file with no instructions"});
  if (file.stages.empty())
    return std::unexpected(DockerfileProblem{{}, "dockerfile contains no stages to build"});
  return file;
}

Result<Instruction> parse_instruction(std::string_view text, const DockerfileLimits& limits) {
  if (text.size() > limits.max_bytes) return Error(Kind::InvalidArgument, "the instruction is too long");
  Dockerfile file;
  LineReader reader(text, limits, file);
  TRY(auto line, reader.next());
  if (!line) return Error(Kind::InvalidArgument, "file with no instructions");
  TRY(auto instruction, to_instruction(*line, file.escape));
  if (std::holds_alternative<FromInstruction>(instruction.body)) {
    return Error(Kind::InvalidArgument, "FROM is not allowed here");
  }
  TRY(auto more, reader.next());
  if (more) return Error(Kind::InvalidArgument, "a single instruction is expected");
  return instruction;
}

}  // namespace berth::spec
