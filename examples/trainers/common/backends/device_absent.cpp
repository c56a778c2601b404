// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// In the place of device_training.cpp where there is no CUDA, or a libtorch without it.
#include "common/run/run.hpp"
#include "common/settings/sentence.hpp"

namespace trainer {

namespace {
    [[noreturn]] run_report absent()
    {
        fail<usage_error>("--device cuda: this program was built without CUDA, or with a libtorch that has none");
    }
} // namespace

run_report train_on_device_threads(const job&)
{
    absent();
}
run_report train_on_nccl(const job&)
{
    absent();
}
run_report rehearse_on_device(const job&)
{
    absent();
}

} // namespace trainer
