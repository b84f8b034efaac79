// The rules of dockerfile_checks.h by name, and where findings go. Internal to the checks.
#pragma once

#include "base/format.h"
#include "spec/dockerfile_checks.h"

namespace berth::spec::checks {

inline constexpr CheckRule stage_name_casing{"StageNameCasing", "Stage names should be lowercase",
                                             "stage-name-casing"};
inline constexpr CheckRule from_as_casing{
    "FromAsCasing", "The 'as' keyword should match the case of the 'from' keyword", "from-as-casing"};
inline constexpr CheckRule no_empty_continuation{
    "NoEmptyContinuation", "Empty continuation lines will become errors in a future release",
    "no-empty-continuation"};
inline constexpr CheckRule consistent_instruction_casing{
    "ConsistentInstructionCasing",
    "All commands within the Dockerfile should use the same casing (either upper or lower)",
    "consistent-instruction-casing"};
inline constexpr CheckRule duplicate_stage_name{"DuplicateStageName", "Stage names should be unique",
                                                "duplicate-stage-name"};
inline constexpr CheckRule reserved_stage_name{
    "ReservedStageName", "Reserved words should not be used as stage names", "reserved-stage-name"};
inline constexpr CheckRule json_args_recommended{
    "JSONArgsRecommended",
    "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
    "json-args-recommended"};
inline constexpr CheckRule maintainer_deprecated{
    "MaintainerDeprecated",
    "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    "maintainer-deprecated"};
inline constexpr CheckRule undefined_arg_in_from{"UndefinedArgInFrom", "FROM command must use declared ARGs",
                                                 "undefined-arg-in-from"};
inline constexpr CheckRule workdir_relative_path{
    "WorkdirRelativePath",
    "Relative workdir without an absolute workdir declared within the build can have unexpected results if "
    "the base image changes",
    "workdir-relative-path"};
inline constexpr CheckRule undefined_var{"UndefinedVar", "Variables should be defined before their use",
                                         "undefined-var"};
inline constexpr CheckRule multiple_instructions_disallowed{
    "MultipleInstructionsDisallowed",
    "Multiple instructions of the same type should not be used in the same stage",
    "multiple-instructions-disallowed"};
inline constexpr CheckRule legacy_key_value_format{
    "LegacyKeyValueFormat", "Legacy key/value format with whitespace separator should not be used",
    "legacy-key-value-format"};
inline constexpr CheckRule redundant_target_platform{
    "RedundantTargetPlatform",
    "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    "redundant-target-platform"};
inline constexpr CheckRule secrets_used_in_arg_or_env{
    "SecretsUsedInArgOrEnv", "Sensitive data should not be used in the ARG or ENV commands",
    "secrets-used-in-arg-or-env"};
inline constexpr CheckRule invalid_default_arg_in_from{
    "InvalidDefaultArgInFrom", "Default value for global ARG results in an empty or invalid base image name",
    "invalid-default-arg-in-from"};
inline constexpr CheckRule from_platform_flag_const_disallowed{
    "FromPlatformFlagConstDisallowed", "FROM --platform flag should not use a constant value",
    "from-platform-flag-const-disallowed"};
inline constexpr CheckRule copy_ignored_file{
    "CopyIgnoredFile", "Attempting to Copy file that is excluded by .dockerignore", "copy-ignored-file"};
inline constexpr CheckRule invalid_definition_description{
    "InvalidDefinitionDescription",
    "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If "
    "this "
    "is not intended to be a description comment, add an empty line or comment between the instruction and "
    "the "
    "comment.",
    "invalid-definition-description"};
inline constexpr CheckRule expose_proto_casing{
    "ExposeProtoCasing", "Protocol in EXPOSE instruction should be lowercase", "expose-proto-casing"};
inline constexpr CheckRule expose_invalid_format{"ExposeInvalidFormat",
                                                 "IP address and host-port mapping should not be used in "
                                                 "EXPOSE instruction. This will become an error in a "
                                                 "future release",
                                                 "expose-invalid-format"};

class Findings {
 public:
  explicit Findings(const CheckConfig& config) : config_(config) {}
  template <class... Args>
  void add(const CheckRule& rule, LineRange lines, fmt::format_string<Args...> text, Args&&... args) {
    if (found_.size() < most_findings && config_.wants(rule))
      found_.push_back({&rule, fmt::format(text, std::forward<Args>(args)...), lines});
  }
  std::vector<CheckFinding> take() { return std::move(found_); }

 private:
  static constexpr size_t most_findings = 1000;
  const CheckConfig& config_;
  std::vector<CheckFinding> found_;
};

/// What the stages before the first FROM and the build's arguments define, for names of base images.
struct GlobalArguments {
  std::map<std::string, std::optional<std::string>> values;
  std::vector<std::string> names() const;
};

/// The comment right above a line, without its '#', by the number of that line; directives are none.
std::map<uint32_t, std::string> comments_above(std::string_view text);

/// Rules about what stands in stages (dockerfile_stage_checks.cc); `wanted` says which of them count.
void check_stages(const CheckInput& input, const GlobalArguments& globals, const std::vector<bool>& wanted,
                  Findings& findings);

/// Index of the stage that a name or number means among the first `count`.
std::optional<size_t> find_stage(const Dockerfile& file, std::string_view name, size_t count);

}  // namespace berth::spec::checks
