// What a service's build section gives its build beside the context: secrets, SSH agents, additional
// contexts.
#pragma once

#include <string>
#include <vector>

#include "apps/berth/compose/project.h"
#include "apps/berth/compose/temporary_file.h"
#include "apps/berth/failure.h"

namespace berth::cli::compose {

struct BuildInputWords {
  std::vector<std::string> words;    ///< flags of `berth build`
  std::vector<TemporaryFile> files;  ///< that they name; keep them while the build runs
};

Outcome<BuildInputWords> build_input_words(const Project& project, const Service& service);

/// Services whose images this one's build reads (additional_contexts: service:NAME). Undefined names are
/// complained of.
Outcome<std::vector<std::string>> built_before(const Project& project, const Service& service);

}  // namespace berth::cli::compose
