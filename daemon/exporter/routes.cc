// SPDX-License-Identifier: Apache-2.0
#include "daemon/exporter/routes.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "daemon/exporter/text_format.h"

namespace tidegauge {

namespace {

// How long a scrape waits for old data to be refreshed before it takes what there is.
constexpr std::chrono::milliseconds kRefreshWait{50};
// And for the first tick, when it comes that early.
constexpr std::chrono::milliseconds kFirstDataWait{2000};

HttpResponse text_response(int status, std::string text) {
  HttpResponse response;
  response.status = status;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::make_shared<const std::string>(std::move(text));
  return response;
}

HttpResponse method_not_allowed(std::string allow) {
  HttpResponse response = text_response(405, "method not allowed\n");
  response.headers.emplace_back("Allow", std::move(allow));
  return response;
}

void append_html(std::string& out, std::string_view text) {
  for (const char c : text) {
    switch (c) {
      case '&':
        out.append("&amp;");
        break;
      case '<':
        out.append("&lt;");
        break;
      case '>':
        out.append("&gt;");
        break;
      case '"':
        out.append("&quot;");
        break;
      default:
        out.push_back(c);
    }
  }
}

constexpr std::string_view kPageHead = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Tidegauge</title>
<meta name="viewport" content="width=device-width">
<style>
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1c2733;background:#fbfcfd}
h1{margin-bottom:0}p{margin:.3rem 0 1rem}
table{border-collapse:collapse;width:100%}th,td{padding:.25rem .6rem;border-bottom:1px solid #dde4ea;text-align:left}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.bad{color:#b3261e;font-weight:600}.none{color:#7a8793}a{color:#0b6e99}
@media(prefers-color-scheme:dark){body{color:#dbe4ec;background:#141a20}th,td{border-color:#2c3742}a{color:#5cc3ee}.bad{color:#ff8a80}}
</style></head><body>
<h1>Tidegauge</h1>
)";

}  // namespace

Routes::Routes(RouteOptions options, std::vector<ExportedCollector> collectors,
               std::vector<std::string_view> known, SnapshotSource& source, Exposition& exposition,
               OwnMetrics& own, std::function<void()> reload)
    : options_(std::move(options)),
      collectors_(std::move(collectors)),
      known_(std::move(known)),
      source_(source),
      exposition_(exposition),
      own_(own),
      reload_(std::move(reload)) {}

std::variant<HttpResponse, HttpPending> Routes::handle(const HttpRequest& request, bool resumed) {
  const bool reading = request.method == "GET" || request.method == "HEAD";
  if (request.path == "/-/reload") {
    return reload(request);
  }
  if (request.path == "/api/v1/record") {
    return record(request);
  }
  const bool known_path = request.path == options_.telemetry_path || request.path == "/" ||
                          (options_.ebpf_json && request.path == "/api/v1/ebpf") ||
                          request.path == "/api/v1/verdicts" || request.path == "/-/healthy" ||
                          request.path == "/-/ready";
  if (!known_path) {
    return text_response(404, "not found\n");
  }
  if (!reading) {
    return method_not_allowed("GET, HEAD");
  }
  if (request.path == options_.telemetry_path) {
    auto outcome = metrics(request, resumed);
    if (const auto* response = std::get_if<HttpResponse>(&outcome)) {
      own_.count_scrape(response->status);
    }
    return outcome;
  }
  if (request.path == "/api/v1/ebpf") {
    HttpResponse response = text_response(200, options_.ebpf_json());
    response.content_type = "application/json";
    return response;
  }
  if (request.path == "/api/v1/verdicts") {
    return verdicts();
  }
  if (request.path == "/-/healthy") {
    return source_.alive() ? text_response(200, "Tidegauge is healthy.\n")
                           : text_response(503, "The tick thread makes no progress.\n");
  }
  if (request.path == "/-/ready") {
    return ready_.load(std::memory_order_relaxed) && source_.latest()
               ? text_response(200, "Tidegauge is ready.\n")
               : text_response(503, "Not ready.\n");
  }
  return landing_page();
}

tl::expected<std::vector<bool>, std::string> Routes::select(const HttpQuery& query) const {
  std::vector<std::string_view> collect;
  std::vector<std::string_view> exclude;
  for (const auto& [key, value] : query) {
    if (key == "collect[]") {
      collect.push_back(value);
    } else if (key == "exclude[]") {
      exclude.push_back(value);
    }
  }
  if (!collect.empty() && !exclude.empty()) {
    return tl::make_unexpected(
        std::string("Combined collect and exclude queries are not allowed.\n"));
  }
  if (collect.empty() && exclude.empty()) {
    return std::vector<bool>{};
  }
  std::vector<bool> selected(collectors_.size(), collect.empty());
  for (const std::string_view name : collect.empty() ? exclude : collect) {
    const auto at = std::find_if(collectors_.begin(), collectors_.end(),
                                 [&](const ExportedCollector& info) { return info.name == name; });
    if (at != collectors_.end()) {
      selected[static_cast<std::size_t>(at - collectors_.begin())] = !collect.empty();
      continue;
    }
    const bool known = std::find(known_.begin(), known_.end(), name) != known_.end();
    // As node_exporter: what does not run can be excluded without complaint.
    if (collect.empty()) {
      continue;
    }
    return tl::make_unexpected(
        std::string("Couldn't create filtered metrics handler: couldn't create collector: ") +
        (known ? "disabled collector: " : "missing collector: ") +
        std::string(name.substr(0, 200)) + "\n");
  }
  return selected;
}

std::variant<HttpResponse, HttpPending> Routes::metrics(const HttpRequest& request, bool resumed) {
  const auto selected = select(request.query);
  if (!selected) {
    return text_response(400, selected.error());
  }
  SnapshotPtr snapshot = source_.latest();
  if (!snapshot && !resumed) {
    return HttpPending{kFirstDataWait};
  }
  if (!snapshot) {
    return text_response(503, "no data yet\n");
  }
  if (!source_.alive()) {  // rather no data than old data that looks new
    return text_response(503, "The tick thread makes no progress.\n");
  }
  if (!resumed && source_.is_stale(*selected)) {
    source_.request_refresh();
    return HttpPending{kRefreshWait};
  }
  const auto body = exposition_.body(snapshot, *selected, request.accepts_gzip);
  HttpResponse response;
  response.content_type = kTextContentType;
  response.body = body;
  response.gzip_encoded = request.accepts_gzip;
  return response;
}

HttpResponse Routes::reload(const HttpRequest& request) {
  if (!options_.enable_lifecycle) {
    return text_response(403, "Lifecycle API is not enabled (--web.enable-lifecycle).\n");
  }
  if (request.method != "POST" && request.method != "PUT") {
    return method_not_allowed("POST, PUT");
  }
  reload_();
  return text_response(202, "Reload asked for; tidegauge_config_last_reload_successful tells.\n");
}

HttpResponse Routes::record(const HttpRequest& request) {
  if (request.method != "POST") {
    return method_not_allowed("POST");
  }
  // A page of another site that the operator has open could post, too.
  if (request.is_cross_site) {
    return text_response(403, "Not for other sites' pages.\n");
  }
  if (!options_.record) {
    return text_response(403, "Not enabled (recorder.enabled, recorder.trigger_over_http).\n");
  }
  const auto reason = std::find_if(request.query.begin(), request.query.end(),
                                   [](const auto& item) { return item.first == "reason"; });
  return options_.record(reason == request.query.end() ? std::string_view("api") : reason->second);
}

HttpResponse Routes::verdicts() const {
  if (!options_.verdicts_json) {
    return text_response(404, "No verdicts are looked for (heuristics.enabled is false).\n");
  }
  if (!source_.alive()) {  // rather none than old ones that look new
    return text_response(503, "The tick thread makes no progress.\n");
  }
  std::string json = options_.verdicts_json();
  if (json.empty()) {
    return text_response(503, "no data yet\n");
  }
  HttpResponse response = text_response(200, std::move(json));
  response.content_type = "application/json";
  return response;
}

HttpResponse Routes::landing_page() const {
  std::string page(kPageHead);
  const BuildInfo& build = build_info();
  page.append("<p>Host metrics, version ");
  append_html(page, build.version);
  page.append(" (").append(build.revision).append(")</p>\n<p><a href=\"");
  append_html(page, options_.telemetry_path);
  page.append("\">Metrics</a> &middot; <a href=\"/-/healthy\">Health</a> &middot; ")
      .append("<a href=\"/-/ready\">Readiness</a></p>\n")
      .append("<table><tr><th>Collector</th><th>State</th><th class=\"n\">Every</th>")
      .append("<th class=\"n\">Last run took</th><th>Reads</th></tr>\n");
  const SnapshotPtr snapshot = source_.latest();
  for (std::size_t i = 0; snapshot && i < snapshot->entries.size(); ++i) {
    const CollectorStatus& status = snapshot->entries[i].status;
    const bool lacking =
        status.error == ErrorKind::kMissing || status.error == ErrorKind::kUnsupported;
    page.append("<tr><td><a href=\"");
    append_html(page, options_.telemetry_path);
    page.append("?collect[]=").append(collectors_[i].name).append("\">");
    page.append(collectors_[i].name).append("</a></td>");
    if (!status.ran) {
      page.append("<td class=\"none\">waiting</td>");
    } else if (status.stuck) {
      page.append("<td class=\"bad\">stuck</td>");
    } else if (status.success) {
      page.append("<td>ok</td>");
    } else {
      page.append(lacking ? "<td class=\"none\">no data: " : "<td class=\"bad\">failed: ");
      page.append(to_string(status.error)).append("</td>");
    }
    page.append("<td class=\"n\">");
    append_value(page, static_cast<std::uint64_t>(status.interval_ns / 1'000'000),
                 NumberType::kUnsigned, kThousandths);
    page.append(" s</td><td class=\"n\">");
    std::array<char, 32> duration{};
    std::snprintf(duration.data(), duration.size(), "%.3f",
                  static_cast<double>(status.duration_ns) * 1e-6);
    page.append(duration.data());
    page.append(" ms</td><td>");
    append_html(page, collectors_[i].help);
    page.append("</td></tr>\n");
  }
  page.append("</table></body></html>\n");
  HttpResponse response;
  response.content_type = "text/html; charset=utf-8";
  response.body = std::make_shared<const std::string>(std::move(page));
  response.headers.emplace_back("Content-Security-Policy",
                                "default-src 'none'; style-src 'unsafe-inline'");
  response.headers.emplace_back("X-Frame-Options", "deny");
  return response;
}

}  // namespace tidegauge
