// Stands in for CUDA in a build of PyTorch without it, for tensors that hold no numbers (FakeTensorMode).
// It must be loaded before torch is imported. Its device does nothing; its answers are those of one GPU with cuDNN.
// Nothing says `override`: what a version of PyTorch does not ask for is never called.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/FakeGuardImpl.h>

using c10::DeviceIndex;

struct CUDAHooks final : at::CUDAHooksInterface {  // PyTorch looks for this name
  explicit CUDAHooks(at::CUDAHooksArgs) {}
  void init() const {}
  bool isBuilt() const { return true; }
  bool isAvailable() const { return true; }
  bool hasCUDA() const { return true; }
  bool hasPrimaryContext(DeviceIndex) const { return true; }
  int getNumGPUs() const { return 1; }
  DeviceIndex deviceCount() const { return 1; }
  DeviceIndex current_device() const { return 0; }
  // the order of dimensions in memory that a convolution gives depends on whether cuDNN computes it
  bool hasCuDNN() const { return true; }
  bool compiledWithCuDNN() const { return true; }
  bool supportsDilatedConvolutionWithCuDNN() const { return true; }
  bool supportsDepthwiseConvolutionWithCuDNN() const { return true; }
  bool supportsBFloat16ConvolutionWithCuDNNv8() const { return true; }
  bool supportsBFloat16RNNWithCuDNN() const { return true; }
  long versionCuDNN() const { return 91000; }
  long versionRuntimeCuDNN() const { return 91000; }
};

namespace at {
using ::CUDAHooks;
REGISTER_CUDA_HOOKS(CUDAHooks)
} // namespace at

using NoGuard = c10::impl::FakeGuardImpl<c10::DeviceType::CUDA>;
C10_REGISTER_GUARD_IMPL(CUDA, NoGuard)
