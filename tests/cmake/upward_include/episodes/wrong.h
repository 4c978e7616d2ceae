#pragma once
#include "meta/learner.h"  // upwards: CheckLayers.cmake must refuse this tree
