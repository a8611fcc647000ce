// SPDX-License-Identifier: Apache-2.0
#include "daemon/recorder/raw_files.h"

#include "daemon/recorder/wire.h"

namespace tidegauge::recording {

std::string encode(const RawFiles& files) {
  std::string out;
  ByteWriter writer(out);
  writer.text(files.moment);
  writer.signed_number(files.realtime_ns);
  writer.number(files.files.size());
  for (const auto& [path, text] : files.files) {
    writer.text(path);
    writer.text(std::string_view(text).substr(0, kMaxRawFileBytes));
  }
  return out;
}

Result<RawFiles> decode_raw_files(std::string_view plain) {
  ByteReader reader(plain);
  RawFiles out;
  out.moment = reader.text();
  out.realtime_ns = reader.signed_number();
  const std::size_t count = reader.count();
  if (count > kMaxRawFiles) {
    reader.fail();
  }
  for (std::size_t i = 0; i < count && reader.is_good(); ++i) {
    std::string path(reader.text());
    out.files.emplace_back(std::move(path), std::string(reader.text()));
  }
  if (!reader.is_good()) {
    return tl::make_unexpected(
        Error{ErrorKind::kMalformed, 0, "the copies of kernel files are damaged"});
  }
  return out;
}

}  // namespace tidegauge::recording
