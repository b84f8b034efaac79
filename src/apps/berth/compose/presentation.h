// How things are told and how much is done at once, by flags and by the variables that docker's compose has
// for them, which .env may hold, too. Pure.
#pragma once

#include "apps/berth/compose/session.h"
#include "apps/berth/grammar/invocation.h"

namespace berth::cli::compose {

struct Presentation {
  Reporter::Mode mode = Reporter::Mode::Plain;
  Colours colours = Colours::OnTerminals;
  bool status_on_stdout = false;  ///< $COMPOSE_STATUS_STDOUT
  int64_t parallel = -1;          ///< services at once; not above 0: the default
};

/// --ansi, --progress, --parallel; $COMPOSE_ANSI, $NO_COLOR, $COMPOSE_PROGRESS, $COMPOSE_PARALLEL_LIMIT.
Outcome<Presentation> presentation(const grammar::Invocation& globals, const Project& project);

}  // namespace berth::cli::compose
