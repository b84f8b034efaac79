// Waiting until the peer of a local socket has read what it was sent.
#pragma once

#include "io/event_loop.h"
#include "io/task.h"

namespace berth::io {

/// Returns once the peer of a connected AF_UNIX socket has read everything, or after a second. Sockets of
/// other families do not tell, and are not waited for.
///
/// docker-py reads the head of a hijacked answer through a buffer that it then drops: what arrives together
/// with the head is lost to it. dockerd is slow enough for that never to show.
Task<void> until_read(EventLoop& loop, int socket);

}  // namespace berth::io
