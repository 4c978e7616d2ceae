#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "episodes/episode.h"

namespace fewatoms {

/// Episodes as JSON text, images by their names (ImageSource::image_name), so that any other program can be run on the
/// same tasks:
///   {"format": "fewatoms-episodes", "version": 1, "dataset": "cub", "split": "test", "split_rule": "closerlook",
///   "episodes": [
///     {"classes": ["Owl", "Wren"], "support": [["owl/1.jpg"], ["wren/7.jpg"]], "query": [["owl/4.jpg"],
///     ["wren/2.jpg"]]}, ...]}
/// Classes are in the order of their labels; support and query hold a list for each.
std::string episodes_to_json(const ImageSource& source, const std::vector<Episode>& episodes);

/// The episodes of a file in that form; keys beside those shown are ignored. Each episode's spec says its own ways, its
/// most shots and queries, and the fewest where these change. Throws UsageError if there is no such file, and
/// DataError, naming file and episode (from 0 on): no such JSON, no episodes, a class or image that the source does not
/// have, fewer than two classes, a class twice, an image twice, or a class without support or query images.
std::vector<Episode> read_episodes(const std::filesystem::path& file, const ImageSource& source);

/// The smallest specification that all of them fit: most ways, shots and queries, and the fewest where these change.
EpisodeSpec spec_of(const std::vector<Episode>& episodes);

}  // namespace fewatoms
