// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "llama_program.hpp"

int main(int argc, char** argv)
{
    trainer::llama_program program;
    return trainer::run(argc, argv, program);
}
