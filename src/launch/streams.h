// How a process's streams and the clients attached to them are treated: shared by daemon and keeper.
#pragma once

#include <cstdint>

namespace berth::launch {

/// What becomes of the process's stdin.
enum class StdinMode : uint8_t {
  Closed,  ///< /dev/null (with a terminal: the terminal, which nobody types at)
  Open,    ///< a pipe or terminal that stays open between attachments
  Once,    ///< a pipe that is closed when the first attachment with stdin ends (docker's StdinOnce)
};

enum class Framing : uint8_t {
  Raw,          ///< bytes as they are (terminal)
  Multiplexed,  ///< docker's 8-byte header {stream, 0, 0, 0, length big-endian} before every piece
};

/// What happens when the client's input ends (half-close).
enum class InputEnd : uint8_t {
  CloseStdin,  ///< the process sees end of file (docker: StdinOnce without a terminal, every exec without
               ///< one)
  EndAttach,   ///< the attachment ends, the process's stdin stays open
  HangUp,  ///< the attachment ends, and so does the terminal: SIGHUP for its session. Also when the client
           ///< has gone, but not when it has detached. Without a terminal: EndAttach
};

/// What happens when a client does not read fast enough.
enum class SlowClient : uint8_t {
  Wait,        ///< the process waits, as with docker: nothing is lost (`run image cat file > copy`)
  Disconnect,  ///< the client is dropped once its socket is full
};

/// Why an attachment ended.
enum class AttachEnd : uint8_t {
  Detached,     ///< the detach keys were typed
  ClientGone,   ///< the client closed its connection, or was too slow
  OutputEnded,  ///< the process ended or closed its streams
  InputEnded,   ///< InputEnd::EndAttach, InputEnd::HangUp
  Refused,      ///< no such process, or too many clients
};

}  // namespace berth::launch
