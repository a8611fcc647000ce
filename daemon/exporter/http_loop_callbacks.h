// SPDX-License-Identifier: Apache-2.0
#pragma once

// The functions that libmicrohttpd calls: they turn its C conventions into the members of HttpLoop
// and let no exception cross its frames. `cls` is the HttpLoop.

#include <microhttpd.h>

#include <cstddef>

namespace tidegauge {

struct HttpLoopCallbacks {
  // Connection made or freed; *context is our HttpConnection from then on.
  static void connection(void* cls, MHD_Connection* mhd, void** context,
                         MHD_ConnectionNotificationCode code) noexcept;

  // Request line complete, and its target not yet decoded. Returns the HttpConnection, which the
  // library passes on as the request's context.
  static void* target(void* cls, const char* target, MHD_Connection* mhd) noexcept;

  // Headers complete, then once for each piece of body, then once more at the end of the request,
  // and again after each resume.
  static MHD_Result request(void* cls, MHD_Connection* mhd, const char* url, const char* method,
                            const char* version, const char* upload, std::size_t* upload_size,
                            void** context) noexcept;

  // Response written, or connection lost during the request.
  static void completed(void* cls, MHD_Connection* mhd, void** context,
                        MHD_RequestTerminationCode code) noexcept;
};

}  // namespace tidegauge
