// How the daemon's log lines look (base/log.h writes them).
#pragma once

namespace berth::log {

enum class Format { Text, Json };

/// Text is the default. Json: one object a line, with "time", "level" and "msg", as dockerd writes them.
void set_format(Format format);

}  // namespace berth::log
