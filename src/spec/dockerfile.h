// Dockerfile: text to typed instructions, as BuildKit's front end reads them (Dockerfile syntax 1.x). Pure;
// every input is bounded. Variables are expanded later, by whoever knows the stage's environment
// (build/frontend).
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "spec/image.h"

namespace berth::spec {

/// Lines of the file, counted from 1, both inclusive; {0, 0} is no place.
struct LineRange {
  uint32_t first = 0;
  uint32_t last = 0;
  bool operator==(const LineRange&) const = default;
};

/// What is wrong, in BuildKit's words, and where.
struct DockerfileProblem {
  LineRange lines;
  std::string message;
};
template <class T>
using DockerfileResult = std::expected<T, DockerfileProblem>;

/// "<<EOF": a document that follows an instruction.
struct Heredoc {
  std::string name;
  std::string content;      ///< with its line ends, without the terminator; tabs not stripped yet
  bool expand = true;       ///< the word was not quoted
  bool strip_tabs = false;  ///< "<<-"
  unsigned descriptor = 0;  ///< "3<<EOF"
  /// What a file made of it holds: leading tabs of lines gone if asked for.
  std::string file_content() const;
};

struct KeyValue {
  std::string key;
  std::string value;
  bool legacy = false;  ///< "ENV key value"
  bool operator==(const KeyValue&) const = default;
};

/// A command line: JSON (exec) form, or shell form as one string, perhaps with heredocs.
struct CommandLine {
  enum class Form { Shell, Exec } form = Form::Shell;
  std::vector<std::string> args;  ///< shell form: one element, or none
  std::vector<Heredoc> heredocs = {};
};

struct FromInstruction {
  std::string base;      ///< image, stage or "scratch", unexpanded
  std::string name;      ///< of the stage, lower case, or empty
  std::string platform;  ///< --platform, unexpanded
};
struct ArgInstruction {
  struct Argument {
    std::string name;
    std::optional<std::string> value;
  };
  std::vector<Argument> arguments;
};
struct RunInstruction {
  CommandLine command;
  std::vector<std::string> mounts = {};  ///< --mount values, unexpanded
  std::string network = {};              ///< "", "default", "none", "host"
  std::string security = {};             ///< "", "sandbox", "insecure"
  std::vector<std::string> devices = {};
};
struct CopyInstruction {
  enum class Kind { Copy, Add } kind = Kind::Copy;
  std::vector<std::string> sources;
  std::vector<Heredoc> documents;
  std::string destination;
  std::string from = {};
  std::string chown = {};
  std::string chmod = {};
  std::string checksum = {};
  std::vector<std::string> excludes = {};
  bool link = false;
  bool parents = false;
  std::optional<bool> keep_git_dir = {};
  std::optional<bool> unpack = {};
};
struct EnvInstruction {
  std::vector<KeyValue> variables;
};
struct LabelInstruction {
  std::vector<KeyValue> labels;
};
struct MaintainerInstruction {
  std::string name;
};
struct WorkdirInstruction {
  std::string path;
};
struct UserInstruction {
  std::string user;
};
struct ExposeInstruction {
  std::vector<std::string> ports;  ///< unexpanded
};
struct VolumeInstruction {
  std::vector<std::string> paths;
};
struct CmdInstruction {
  CommandLine command;
};
struct EntrypointInstruction {
  CommandLine command;
};
struct ShellInstruction {
  std::vector<std::string> shell;
};
struct StopSignalInstruction {
  std::string signal;
};
struct HealthcheckInstruction {
  Healthcheck check;  ///< test {"NONE"}, {"CMD", ...} or {"CMD-SHELL", command}
};
struct OnbuildInstruction {
  std::string trigger;  ///< the instruction as the image configuration stores it
};

using InstructionBody =
    std::variant<FromInstruction, ArgInstruction, RunInstruction, CopyInstruction, EnvInstruction,
                 LabelInstruction, MaintainerInstruction, WorkdirInstruction, UserInstruction,
                 ExposeInstruction, VolumeInstruction, CmdInstruction, EntrypointInstruction,
                 ShellInstruction, StopSignalInstruction, HealthcheckInstruction, OnbuildInstruction>;

struct Instruction {
  std::string keyword;  ///< as written
  std::string source;   ///< trimmed, continuation lines joined, without heredoc bodies
  LineRange lines;
  InstructionBody body;
};

struct Stage {
  FromInstruction from;
  std::string source;  ///< the FROM line
  LineRange lines;
  std::vector<Instruction> instructions;
};

struct DockerfileWarning {
  LineRange lines;
  std::string text;
};

struct Dockerfile {
  char escape = '\\';
  std::string syntax;                         ///< "# syntax=", empty when not given
  std::string check;                          ///< "# check="
  std::vector<Instruction> global_arguments;  ///< ARG before the first FROM
  std::vector<Stage> stages;
  std::vector<DockerfileWarning> warnings;
};

struct DockerfileLimits {
  size_t max_bytes = 8u << 20;
  size_t max_line = 65535;  ///< one physical line; BuildKit has the same
  size_t max_instructions = 20000;
  size_t max_heredocs = 64;  ///< of one instruction
};

/// Parses a whole Dockerfile with at least one stage.
DockerfileResult<Dockerfile> parse_dockerfile(std::string_view text, const DockerfileLimits& limits = {});

/// Parses one instruction: an ONBUILD trigger, or a change of `docker commit` and `docker import`. FROM, and
/// anything after the first instruction: InvalidArgument.
Result<Instruction> parse_instruction(std::string_view text, const DockerfileLimits& limits = {});

/// "Dockerfile:3" and the lines around, those in `lines` marked with ">>>", framed as BuildKit frames them.
std::string source_excerpt(std::string_view file, std::string_view text, LineRange lines);

/// The closest of `options` within two edits, for "(did you mean X?)"; empty when there is none.
std::string closest_word(std::string_view word, const std::vector<std::string>& options);

/// Whether the signal's name or number is one that STOPSIGNAL takes.
bool is_valid_signal(std::string_view text);

}  // namespace berth::spec
