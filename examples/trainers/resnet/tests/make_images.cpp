// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// make_images <folder>: a folder with files like CIFAR-10's, of 64 images each.
#include "files.hpp"

int main(int argc, char** argv)
{
    if (argc != 2)
        return 2;
    trainer_test::write_cifar(argv[1], 64);
}
