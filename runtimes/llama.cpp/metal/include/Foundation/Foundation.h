// What upstream's two Objective-C sources for Metal use of Apple's Foundation, declared by us from its documented names and
// types: Apple's own headers may not be passed on. Nothing is declared that they do not use.
#pragma once

// Files of the compiler's own that Foundation is known to bring along.
#include <Block.h>
#include <TargetConditionals.h>
#include <dispatch/dispatch.h>
#include <inttypes.h>
#include <mach/mach.h>
#include <objc/NSObject.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

@class NSArray<ObjectType>, NSCharacterSet, NSDictionary<KeyType, ObjectType>, NSError, NSString;

typedef struct {
    NSUInteger location;
    NSUInteger length;
} NSRange;

static inline NSRange NSMakeRange(NSUInteger location, NSUInteger length) {
    return (NSRange){location, length};
}

typedef NSUInteger NSStringEncoding;
enum { NSUTF8StringEncoding = 4 };

// The shape that the compiler's `for (x in y)` counts on.
typedef struct {
    unsigned long state;
    id __unsafe_unretained *itemsPtr;
    unsigned long *mutationsPtr;
    unsigned long extra[5];
} NSFastEnumerationState;

@protocol NSFastEnumeration
- (NSUInteger)countByEnumeratingWithState:(NSFastEnumerationState *)state
                                  objects:(id __unsafe_unretained[])buffer
                                    count:(NSUInteger)count;
@end

@interface NSObject (Description)
@property(readonly, copy) NSString *description;
@end

@interface NSString : NSObject
@property(readonly) NSUInteger length;
@property(readonly, copy) NSString *stringByDeletingLastPathComponent;
@property(readonly, copy) NSString *stringByStandardizingPath;
@property(readonly) const char *UTF8String;
+ (NSString *)pathWithComponents:(NSArray<NSString *> *)components;
+ (instancetype)stringWithCString:(const char *)bytes encoding:(NSStringEncoding)encoding;
+ (instancetype)stringWithContentsOfFile:(NSString *)path
                                encoding:(NSStringEncoding)encoding
                                   error:(NSError **)error;
+ (instancetype)stringWithFormat:(NSString *)format, ...;
+ (instancetype)stringWithUTF8String:(const char *)bytes;
- (instancetype)initWithBytes:(const void *)bytes length:(NSUInteger)length encoding:(NSStringEncoding)encoding;
- (NSArray<NSString *> *)componentsSeparatedByString:(NSString *)separator;
- (BOOL)containsString:(NSString *)other;
- (BOOL)isEqualToString:(NSString *)other;
- (NSString *)stringByAppendingPathComponent:(NSString *)component;
- (NSString *)stringByAppendingPathExtension:(NSString *)extension;
- (NSString *)stringByTrimmingCharactersInSet:(NSCharacterSet *)set;
- (NSString *)substringToIndex:(NSUInteger)index;
@end

@interface NSMutableString : NSString
- (void)appendString:(NSString *)string;
@end

@interface NSCharacterSet : NSObject
@property(class, readonly, copy) NSCharacterSet *whitespaceCharacterSet;
@end

@interface NSScanner : NSObject
@property(copy) NSCharacterSet *charactersToBeSkipped;
+ (instancetype)scannerWithString:(NSString *)string;
- (BOOL)scanString:(NSString *)string intoString:(NSString **)result;
- (BOOL)scanUpToString:(NSString *)string intoString:(NSString **)result;
@end

@interface NSNumber : NSObject
@property(readonly) int intValue;
+ (NSNumber *)numberWithInt:(int)value;
@end

@interface NSArray<ObjectType> : NSObject <NSFastEnumeration>
@property(readonly) NSUInteger count;
+ (instancetype)arrayWithObjects:(const ObjectType[])objects count:(NSUInteger)count;  // what @[...] becomes
- (ObjectType)objectAtIndexedSubscript:(NSUInteger)index;
@end

@interface NSMutableArray<ObjectType> : NSArray <ObjectType>
- (void)addObject:(ObjectType)object;
- (void)removeAllObjects;
- (void)removeObject:(ObjectType)object;
@end

@interface NSDictionary<KeyType, ObjectType> : NSObject
+ (instancetype)dictionaryWithObjects:(const ObjectType[])objects
                              forKeys:(const KeyType[])keys
                                count:(NSUInteger)count;  // what @{...} becomes
- (ObjectType)objectForKeyedSubscript:(KeyType)key;
@end

@interface NSMutableDictionary<KeyType, ObjectType> : NSDictionary <KeyType, ObjectType>
+ (instancetype)dictionary;
- (void)setObject:(ObjectType)object forKey:(KeyType)key;
- (void)setObject:(ObjectType)object forKeyedSubscript:(KeyType)key;
@end

@interface NSSet<ObjectType> : NSObject
+ (instancetype)set;
- (BOOL)containsObject:(ObjectType)object;
@end

@interface NSMutableSet<ObjectType> : NSSet <ObjectType>
- (void)addObject:(ObjectType)object;
@end

@interface NSError : NSObject
@property(readonly, copy) NSString *localizedDescription;
+ (instancetype)errorWithDomain:(NSString *)domain code:(NSInteger)code userInfo:(NSDictionary *)info;
@end

extern NSString *const NSLocalizedDescriptionKey;

@interface NSURL : NSObject
+ (NSURL *)fileURLWithPath:(NSString *)path;
@end

@interface NSLock : NSObject
- (void)lock;
- (void)unlock;
@end

// What only kernels need that are read from files beside the program; ours are inside it.

@interface NSBundle : NSObject
+ (NSBundle *)bundleForClass:(Class)ofProgram;
- (NSString *)pathForResource:(NSString *)name ofType:(NSString *)extension;
@end

@interface NSProcessInfo : NSObject
@property(class, readonly) NSProcessInfo *processInfo;
@property(readonly, copy) NSArray<NSString *> *arguments;
@property(readonly, copy) NSDictionary<NSString *, NSString *> *environment;
@end

@interface NSFileManager : NSObject
@property(class, readonly) NSFileManager *defaultManager;
- (NSDictionary<NSString *, id> *)attributesOfItemAtPath:(NSString *)path error:(NSError **)error;
- (NSString *)destinationOfSymbolicLinkAtPath:(NSString *)path error:(NSError **)error;
- (BOOL)isReadableFileAtPath:(NSString *)path;
@end

extern NSString *const NSFileType;
extern NSString *const NSFileTypeSymbolicLink;
