// The fields of `ps` and `system df -v` for one container. Pure but for the time zone.
#pragma once

#include "apps/berth/commands/listing.h"
#include "base/clock.h"
#include "base/json_fwd.h"

namespace berth::cli::commands {

enum class Truncate { No, Yes };

extern const Headings container_headings;

/// All fields that templates may name, or the plain table's alone.
enum class RowDetail { All, Table };

/// The row of one element of GET /containers/json.
RowFields container_row(const Json& container, Truncate truncate, Timestamp now,
                        RowDetail detail = RowDetail::All);
/// "0.0.0.0:80->80/tcp, 9000-9002/udp": the Ports of a container, ranges folded.
std::string ports_text(const Json& ports);
/// "a=1,b=2", sorted.
std::string labels_text(const Json& labels);
std::vector<std::pair<std::string, std::string>> labels_of(const Json& object);

}  // namespace berth::cli::commands
