// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "resnet_program.hpp"

int main(int argc, char** argv)
{
    trainer::resnet_program program;
    return trainer::run(argc, argv, program);
}
