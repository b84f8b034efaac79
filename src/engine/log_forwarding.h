// Sending containers' output to syslog, journald, fluentd, a GELF server or Splunk. The log on disk is the
// buffer: what could not be sent yet lies there, a kill of the daemon loses nothing, and a receiver that is
// down delays nobody's output. How far a container's log has been sent is kept beside it. Internal to
// engine/.
#pragma once

#include "engine/core.h"

namespace berth::engine {

/// Begins to send, when the container's driver does and nothing is sending yet. Call it when a run begins.
void forward_logs(Core& core, const ContainerHandle& container);

}  // namespace berth::engine
