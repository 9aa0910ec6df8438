// What upstream's two Objective-C sources for Metal use of Apple's Metal, declared by us from its documented names and
// types. A test compares values, selectors and types with Apple's own free description of them in C++ (metal-cpp).
#pragma once

#import <Foundation/Foundation.h>

@class MTLCaptureDescriptor, MTLCompileOptions, MTLFunctionConstantValues, MTLResidencySetDescriptor;
@protocol MTLBlitCommandEncoder, MTLCommandQueue, MTLComputeCommandEncoder, MTLDevice;

typedef struct {
    NSUInteger width;
    NSUInteger height;
    NSUInteger depth;
} MTLSize;

static inline MTLSize MTLSizeMake(NSUInteger width, NSUInteger height, NSUInteger depth) {
    return (MTLSize){width, height, depth};
}

typedef enum : NSUInteger {
    MTLResourceStorageModeShared = 0,
    MTLResourceStorageModePrivate = 32,
} MTLResourceOptions;

typedef enum : NSInteger {
    MTLGPUFamilyApple1 = 1001,
    MTLGPUFamilyApple6 = 1006,
    MTLGPUFamilyApple7 = 1007,
    MTLGPUFamilyCommon1 = 3001,
    MTLGPUFamilyMetal3 = 5001,
} MTLGPUFamily;

typedef enum : NSUInteger {
    MTLCommandBufferStatusNotEnqueued = 0,
    MTLCommandBufferStatusEnqueued = 1,
    MTLCommandBufferStatusCommitted = 2,
    MTLCommandBufferStatusScheduled = 3,
    MTLCommandBufferStatusCompleted = 4,
    MTLCommandBufferStatusError = 5,
} MTLCommandBufferStatus;

typedef enum : NSUInteger {
    MTLDataTypeInt = 29,
    MTLDataTypeShort = 37,
    MTLDataTypeBool = 53,
} MTLDataType;

typedef enum : NSUInteger {
    MTLDispatchTypeSerial = 0,
    MTLDispatchTypeConcurrent = 1,
} MTLDispatchType;

typedef enum : NSUInteger {
    MTLBarrierScopeBuffers = 1,
} MTLBarrierScope;

typedef enum : NSInteger {
    MTLCaptureDestinationGPUTraceDocument = 2,
} MTLCaptureDestination;

typedef NSUInteger MTLLanguageVersion;

@protocol MTLAllocation <NSObject>
@end

@protocol MTLResource <MTLAllocation>
@end

@protocol MTLBuffer <MTLResource>
@end

@protocol MTLEvent <NSObject>
@end

@protocol MTLSharedEvent <MTLEvent>
- (BOOL)waitUntilSignaledValue:(uint64_t)value timeoutMS:(uint64_t)milliseconds;
@end

@protocol MTLFunction <NSObject>
@end

@protocol MTLComputePipelineState <NSObject>
@property(readonly) NSUInteger maxTotalThreadsPerThreadgroup;
@property(readonly) NSUInteger threadExecutionWidth;
@end

@protocol MTLCommandBuffer <NSObject>
@property(readonly) NSError *error;
@property(readonly) MTLCommandBufferStatus status;
- (void)addCompletedHandler:(void (^)(id<MTLCommandBuffer>))block;
- (id<MTLBlitCommandEncoder>)blitCommandEncoder;
- (void)commit;
- (id<MTLComputeCommandEncoder>)computeCommandEncoder;
- (id<MTLComputeCommandEncoder>)computeCommandEncoderWithDispatchType:(MTLDispatchType)type;
- (void)encodeSignalEvent:(id<MTLEvent>)event value:(uint64_t)value;
- (void)encodeWaitForEvent:(id<MTLEvent>)event value:(uint64_t)value;
- (void)enqueue;
- (void)waitUntilCompleted;
@end

@protocol MTLCommandQueue <NSObject>
- (id<MTLCommandBuffer>)commandBuffer;
- (id<MTLCommandBuffer>)commandBufferWithUnretainedReferences;
@end

@protocol MTLCommandEncoder <NSObject>
- (void)endEncoding;
- (void)popDebugGroup;
- (void)pushDebugGroup:(NSString *)string;
@end

@protocol MTLComputeCommandEncoder <MTLCommandEncoder>
- (void)dispatchThreadgroups:(MTLSize)groups threadsPerThreadgroup:(MTLSize)threads;
- (void)memoryBarrierWithScope:(MTLBarrierScope)scope;
- (void)setBuffer:(id<MTLBuffer>)buffer offset:(NSUInteger)offset atIndex:(NSUInteger)index;
- (void)setBytes:(const void *)bytes length:(NSUInteger)length atIndex:(NSUInteger)index;
- (void)setComputePipelineState:(id<MTLComputePipelineState>)state;
- (void)setThreadgroupMemoryLength:(NSUInteger)length atIndex:(NSUInteger)index;
@end

@protocol MTLBlitCommandEncoder <MTLCommandEncoder>
- (void)copyFromBuffer:(id<MTLBuffer>)from
          sourceOffset:(NSUInteger)source
              toBuffer:(id<MTLBuffer>)to
     destinationOffset:(NSUInteger)destination
                  size:(NSUInteger)size;
- (void)fillBuffer:(id<MTLBuffer>)buffer range:(NSRange)range value:(uint8_t)value;
@end

@interface MTLFunctionConstantValues : NSObject
- (void)setConstantValue:(const void *)value type:(MTLDataType)type atIndex:(NSUInteger)index;
@end

@interface MTLCompileOptions : NSObject
@property MTLLanguageVersion languageVersion;
@property(copy) NSDictionary *preprocessorMacros;
@end

@protocol MTLLibrary <NSObject>
@property(readonly) NSArray<NSString *> *functionNames;
- (id<MTLFunction>)newFunctionWithName:(NSString *)name;
- (id<MTLFunction>)newFunctionWithName:(NSString *)name
                        constantValues:(MTLFunctionConstantValues *)values
                                 error:(NSError **)error;
@end

// Newer than the oldest system that the program starts on: the class is imported weakly, and asked for first.
#pragma clang attribute push(__attribute__((availability(macos, introduced = 15.0))), apply_to = any(objc_interface, objc_protocol))
@interface MTLResidencySetDescriptor : NSObject
@property NSUInteger initialCapacity;
@property(copy) NSString *label;
@end

@protocol MTLResidencySet <NSObject>
- (void)addAllocation:(id<MTLAllocation>)allocation;
- (void)commit;
- (void)endResidency;
- (void)removeAllAllocations;
- (void)requestResidency;
@end
#pragma clang attribute pop

@protocol MTLDevice <NSObject>
@property(readonly) NSUInteger currentAllocatedSize;
@property(readonly) BOOL hasUnifiedMemory;
@property(readonly) NSUInteger maxBufferLength;
@property(readonly) NSUInteger maxThreadgroupMemoryLength;
@property(readonly) NSString *name;
@property(readonly) uint64_t recommendedMaxWorkingSetSize;
- (id<MTLBuffer>)newBufferWithBytes:(const void *)bytes length:(NSUInteger)length options:(MTLResourceOptions)options;
- (id<MTLBuffer>)newBufferWithBytesNoCopy:(void *)bytes
                                   length:(NSUInteger)length
                                  options:(MTLResourceOptions)options
                              deallocator:(void (^)(void *, NSUInteger))deallocator;
- (id<MTLBuffer>)newBufferWithLength:(NSUInteger)length options:(MTLResourceOptions)options;
- (id<MTLCommandQueue>)newCommandQueue;
- (id<MTLComputePipelineState>)newComputePipelineStateWithFunction:(id<MTLFunction>)function error:(NSError **)error;
- (id<MTLLibrary>)newLibraryWithSource:(NSString *)source options:(MTLCompileOptions *)options error:(NSError **)error;
- (id<MTLResidencySet>)newResidencySetWithDescriptor:(MTLResidencySetDescriptor *)descriptor
                                               error:(NSError **)error
    __attribute__((availability(macos, introduced = 15.0)));
- (id<MTLSharedEvent>)newSharedEvent;
- (BOOL)supportsFamily:(MTLGPUFamily)family;
@end

@protocol MTLCaptureScope <NSObject>
- (void)beginScope;
- (void)endScope;
@end

@interface MTLCaptureDescriptor : NSObject
@property(strong) id captureObject;
@property MTLCaptureDestination destination;
@property(copy) NSURL *outputURL;
@end

@interface MTLCaptureManager : NSObject
+ (MTLCaptureManager *)sharedCaptureManager;
- (id<MTLCaptureScope>)newCaptureScopeWithDevice:(id<MTLDevice>)device;
- (BOOL)startCaptureWithDescriptor:(MTLCaptureDescriptor *)descriptor error:(NSError **)error;
- (void)stopCapture;
@end

extern NSArray<id<MTLDevice>> *MTLCopyAllDevices(void);
extern id<MTLDevice> MTLCreateSystemDefaultDevice(void);
