#include "apps/predictions.h"

#include "datasets/table.h"
#include "episodes/numbers.h"

namespace fewatoms {

std::string predictions_csv(const ImageSource& source, const EvaluationOptions& options, const Evaluation& evaluation) {
  std::string text = "episode,class,image,label,predicted,probabilities\n";
  for (int e = 0; e < options.episodes; ++e) {
    const Episode episode = evaluation_episode(source, options, e);
    const std::vector<int>& predicted = evaluation.predictions[e].back();
    const std::vector<float>& probabilities = evaluation.probabilities[e];
    const std::string number = number_text(options.first_episode + e);
    for (size_t q = 0; q < episode.query.size(); ++q) {
      const EpisodeImage& image = episode.query[q];
      text += number + "," + csv_field(source.class_name(image.ref.class_index)) + "," +
              csv_field(source.image_name(image.ref)) + "," + number_text(image.label) + "," +
              csv_field(source.class_name(episode.classes[predicted[q]])) + ",";
      const size_t ways = episode.classes.size();
      for (size_t label = 0; label < ways; ++label)
        text += (label > 0 ? ";" : "") + fixed_text(probabilities[q * ways + label], 6);
      text += "\n";
    }
  }
  return text;
}

std::string confusion_csv(const ImageSource& source, const EvaluationOptions& options, const Evaluation& evaluation) {
  const auto classes = static_cast<size_t>(source.classes());
  std::vector<int64_t> counts(classes * classes);  // [class][taken for]
  for (int e = 0; e < options.episodes; ++e) {
    const Episode episode = evaluation_episode(source, options, e);
    const std::vector<int>& predicted = evaluation.predictions[e].back();
    for (size_t q = 0; q < episode.query.size(); ++q)
      ++counts[static_cast<size_t>(episode.query[q].ref.class_index) * classes +
               static_cast<size_t>(episode.classes[predicted[q]])];
  }
  std::string text = "class";
  for (int c = 0; c < source.classes(); ++c) text += "," + csv_field(source.class_name(c));
  text += "\n";
  for (int c = 0; c < source.classes(); ++c) {
    text += csv_field(source.class_name(c));
    for (size_t other = 0; other < classes; ++other)
      text += "," + number_text(counts[static_cast<size_t>(c) * classes + other]);
    text += "\n";
  }
  return text;
}

}  // namespace fewatoms
