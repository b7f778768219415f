// jetpp/replay.hpp - umbrella for reading logs: every record, or the changes that were committed.
//
// replay (one pass over a directory), log_follower (beside a running engine), change_stream (change
// data capture with a token to go on from). The log of a backup set: jetpp/backup/set_log.hpp.
#pragma once

#include <jetpp/log/log_follower.hpp>
#include <jetpp/log/log_source.hpp>
#include <jetpp/log/replay.hpp>
#include <jetpp/recovery/change_stream.hpp>
#include <jetpp/recovery/tree_names.hpp>
