// jetpp/log/records.hpp - every record struct of the log, and nothing else.
//
//     records_rows.hpp      insert, update, ghost, revive, ghost_remove, insert_run
//     records_space.hpp     structure, page_image, page_free, page_alloc, extend, tree_*
//     records_instance.hpp  db_create, attach, detach, attach_list, checkpoint_mark, backup_*,
//                           recovery_*
//     records_marks.hpp     commit, rollback, time_mark, verify, restore_point, user, pad,
//                           segment_end, unknown
#pragma once

#include <jetpp/log/record.hpp>
#include <jetpp/log/records_instance.hpp>
#include <jetpp/log/records_marks.hpp>
#include <jetpp/log/records_rows.hpp>
#include <jetpp/log/records_space.hpp>
